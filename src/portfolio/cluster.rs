//! Clusters of stocks that move together.

/// Single linkage: two stocks are in the same cluster if a chain of `related` pairs connects them.
/// Every one of `stocks` is in a cluster; clusters and their members are in stock order.
pub(crate) fn clusters(
    stocks: usize,
    related: impl Iterator<Item = (usize, usize)>,
) -> Vec<Vec<usize>> {
    // A cluster's label is its first stock.
    let mut label: Vec<usize> = (0..stocks).collect();
    for (i, j) in related {
        let (kept, dropped) = (label[i].min(label[j]), label[i].max(label[j]));
        label.iter_mut().filter(|label| **label == dropped).for_each(|label| *label = kept);
    }
    let members = |first: usize| (0..stocks).filter(|&i| label[i] == first).collect();
    (0..stocks).filter(|&first| label[first] == first).map(members).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_one_group_whatever_the_order_of_its_links() {
        let expected = [vec![0, 2, 3, 5], vec![1, 4], vec![6]];
        for links in [
            [(0, 5), (3, 5), (2, 3), (1, 4)],
            [(2, 3), (1, 4), (3, 5), (0, 5)],
            [(1, 4), (0, 5), (2, 3), (5, 3)],
        ] {
            assert_eq!(clusters(7, links.into_iter()), expected);
        }
        assert_eq!(clusters(2, std::iter::empty()), [vec![0], vec![1]]);
        assert!(clusters(0, std::iter::empty()).is_empty());
    }
}
