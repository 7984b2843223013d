//! Memory for long columns.

/// Zeros. Where they are many, Linux is asked to hold them in large pages: a small one costs a
/// fault, as long as filling it, when it is first written to.
pub fn zeros<T: Copy + Default>(count: usize) -> Vec<T> {
    let mut values = vec![T::default(); count];
    in_large_pages(&mut values);
    values
}

/// Only a hint, so that an error does not matter.
fn in_large_pages<T>(values: &mut [T]) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4 << 10;
        const LARGE_PAGE: usize = 2 << 20;
        let bytes = values.as_mut_ptr_range();
        let (start, end) = (bytes.start.cast::<u8>(), bytes.end.cast::<u8>());
        let start = start.wrapping_add(start.align_offset(PAGE));
        let whole = (end as usize).saturating_sub(start as usize) / PAGE * PAGE;
        if whole >= LARGE_PAGE {
            // SAFETY: whole pages within the slice, whose content the advice does not change.
            unsafe { libc::madvise(start.cast(), whole, libc::MADV_HUGEPAGE) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_can_be_written_to_their_ends() {
        for count in [0, 1, 5_000, 3 << 20] {
            let mut values = zeros::<u32>(count);
            assert!(values.len() == count && values.iter().all(|&value| value == 0));
            values.iter_mut().enumerate().for_each(|(i, value)| *value = i as u32);
            assert!(values.iter().enumerate().all(|(i, &value)| value == i as u32));
        }
    }
}
