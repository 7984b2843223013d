//! Memory for long columns.

use std::ops::Range;

/// Zeros. Where they are many, Linux is asked to hold them in large pages: a small one costs a
/// fault, as long as filling it, when it is first written to.
pub fn zeros<T: Copy + Default>(count: usize) -> Vec<T> {
    let mut values = vec![T::default(); count];
    in_large_pages(values.as_mut_ptr_range());
    values
}

/// Room for so many more values, where they are many in large pages.
pub fn reserve<T>(values: &mut Vec<T>, more: usize) {
    values.reserve(more);
    let room = values.spare_capacity_mut().as_mut_ptr_range();
    in_large_pages(room.start.cast::<T>()..room.end.cast());
}

/// Only a hint, so that an error does not matter.
fn in_large_pages<T>(memory: Range<*mut T>) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4 << 10;
        const LARGE_PAGE: usize = 2 << 20;
        let (start, end) = (memory.start.cast::<u8>(), memory.end.cast::<u8>());
        let start = start.wrapping_add(start.align_offset(PAGE));
        let whole = (end as usize).saturating_sub(start as usize) / PAGE * PAGE;
        if whole >= LARGE_PAGE {
            // SAFETY: whole pages of one allocation, whose content the advice does not change.
            unsafe { libc::madvise(start.cast(), whole, libc::MADV_HUGEPAGE) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_can_be_written_to_its_end() {
        for count in [0, 1, 5_000, 3 << 20] {
            let mut values = zeros::<u32>(count);
            assert!(values.len() == count && values.iter().all(|&value| value == 0));
            values.iter_mut().enumerate().for_each(|(i, value)| *value = i as u32);
            reserve(&mut values, count);
            values.extend(count as u32..2 * count as u32);
            assert!(values.iter().enumerate().all(|(i, &value)| value == i as u32));
        }
    }
}
