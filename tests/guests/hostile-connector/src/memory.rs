//! The component's own memory.

/// What each byte of a masked text is xored with.
const MASK: u8 = 0x5A;

/// The text behind a masked one.
pub(crate) fn unmask(masked: &[u8]) -> Vec<u8> {
    masked.iter().map(|byte| byte ^ MASK).collect()
}

/// How often the text behind a masked one stands in this component's whole memory.
#[cfg(target_arch = "wasm32")]
pub(crate) fn count(masked: &[u8]) -> usize {
    const PAGE: usize = 64 * 1024;
    let Some(last) = (core::arch::wasm32::memory_size(0) * PAGE).checked_sub(masked.len()) else { return 0 };
    // SAFETY: everything from 0 to the memory's size is readable in WebAssembly; reads are volatile, since other
    // values live there.
    let byte = |address: usize| unsafe { core::ptr::read_volatile(core::ptr::without_provenance::<u8>(address)) };
    let fits = |start: &usize| masked.iter().enumerate().all(|(index, masked)| byte(start + index) == masked ^ MASK);
    if masked.is_empty() { 0 } else { (1..=last).filter(fits).count() }
}

/// Outside of a component there is no memory to search.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn count(_: &[u8]) -> usize {
    0
}
