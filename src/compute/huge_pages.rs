//! Vectors in huge pages.

/// Size of a huge page on most processors, in bytes.
const HUGE_PAGE: usize = 2 << 20;

/// A copy of `values` with the given capacity, in huge pages, for vectors with random access: with
/// 4 KB pages each access is a TLB miss. Linux grants huge pages on request (`madvise`) if they are
/// requested before the first write.
pub(crate) fn copy_with_capacity<T: Copy>(values: &[T], capacity: usize) -> Vec<T> {
    let mut room = Vec::with_capacity(capacity);
    request_huge_pages(&room);
    room.extend_from_slice(values);
    room
}

#[cfg(target_os = "linux")]
fn request_huge_pages<T>(room: &Vec<T>) {
    let (first, len) = (room.as_ptr().addr(), room.capacity() * size_of::<T>());
    let (start, end) = (first.next_multiple_of(HUGE_PAGE), (first + len) / HUGE_PAGE * HUGE_PAGE);
    if start < end {
        let start_at = room.as_ptr().with_addr(start).cast_mut().cast();
        // SAFETY: whole pages of the vector's memory; the advice does not change its content. If it
        // is refused, small pages are used.
        unsafe { libc::madvise(start_at, end - start, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn request_huge_pages<T>(_: &Vec<T>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_copied_into_the_requested_capacity() {
        for capacity in [3, 5, 100_000, 1_500_000] {
            let mut room = copy_with_capacity(&[1u64, 2, 3], capacity);
            assert!(room.capacity() >= capacity);
            room.resize(capacity, 9);
            assert_eq!((room[2], room[capacity - 1]), (3, if capacity > 3 { 9 } else { 3 }));
        }
    }
}
