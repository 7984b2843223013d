//! Memory of the whole process.

use std::alloc::{GlobalAlloc, Layout, System};

/// Two megabytes, a large page of most processors.
const LARGE: usize = 2 << 20;

/// The system's allocator, which asks for large pages where a large piece is wanted: with pages of
/// 4 KB, a million priorities or a panel are thousands of faults to come by, and every look at a
/// place of them is a walk through the page tables.
pub struct LargePages;

// SAFETY: everything is the system allocator's; what is advised changes no content.
unsafe impl GlobalAlloc for LargePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        advised(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        advised(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size < 2 * LARGE {
            // SAFETY: the caller's.
            return unsafe { System.realloc(memory, layout, size) };
        }
        // The system would move the small pages that there are, and only new ones would be large.
        // SAFETY: the caller's: the alignment is valid, and the size is one that can be had.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both are as long, and not the same; the old one is the caller's to give up.
            unsafe {
                new.copy_from_nonoverlapping(memory, size.min(layout.size()));
                self.dealloc(memory, layout);
            }
        }
        new
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[cfg(target_os = "linux")]
fn advised(memory: *mut u8, len: usize) -> *mut u8 {
    if len >= 2 * LARGE && !memory.is_null() {
        let start = memory.addr().next_multiple_of(LARGE);
        let end = (memory.addr() + len) / LARGE * LARGE;
        // SAFETY: whole pages of what was allocated. What it answers changes nothing.
        unsafe {
            libc::madvise(memory.with_addr(start).cast(), end - start, libc::MADV_HUGEPAGE);
        }
    }
    memory
}

#[cfg(not(target_os = "linux"))]
fn advised(memory: *mut u8, _: usize) -> *mut u8 {
    memory
}
