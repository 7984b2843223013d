//! Memory in large pages.

/// Two megabytes, a large page of most processors.
const LARGE: usize = 2 << 20;

/// A copy of `values` with room for `capacity` of them, for what is looked at here and there: a look
/// at a place in pages of 4 KB is a walk through the page tables. Linux, where it leaves the choice
/// to programs, gives large pages to who asks before it touches the memory.
pub fn with_room<T: Copy>(values: &[T], capacity: usize) -> Vec<T> {
    let mut room = Vec::with_capacity(capacity);
    ask_for_large_pages(&room);
    room.extend_from_slice(values);
    room
}

#[cfg(target_os = "linux")]
fn ask_for_large_pages<T>(room: &Vec<T>) {
    let (first, len) = (room.as_ptr().addr(), room.capacity() * size_of::<T>());
    let (start, end) = (first.next_multiple_of(LARGE), (first + len) / LARGE * LARGE);
    if start < end {
        let start_at = room.as_ptr().with_addr(start).cast_mut().cast();
        // SAFETY: whole pages of the vector's memory. What is asked for changes no content, and what
        // is answered makes no difference here.
        unsafe { libc::madvise(start_at, end - start, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages<T>(_: &Vec<T>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_move_into_as_much_room_as_was_asked_for() {
        for capacity in [3, 5, 100_000, 1_500_000] {
            let mut room = with_room(&[1u64, 2, 3], capacity);
            assert!(room.capacity() >= capacity);
            room.resize(capacity, 9);
            assert_eq!((room[2], room[capacity - 1]), (3, if capacity > 3 { 9 } else { 3 }));
        }
    }
}
