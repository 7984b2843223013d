//! How many bytes a search has looked at, counted in tests only: unlike its time, it does not depend
//! on how busy the machine is.

#[cfg(test)]
thread_local! {
    static BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
pub(super) fn add(bytes: usize) {
    BYTES.set(BYTES.get() + bytes);
}

#[cfg(not(test))]
pub(super) fn add(_bytes: usize) {}

/// Bytes that `search` looks at on this thread.
#[cfg(test)]
pub(super) fn of(search: impl FnOnce()) -> usize {
    BYTES.set(0);
    search();
    BYTES.get()
}
