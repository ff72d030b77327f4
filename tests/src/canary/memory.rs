//! The linear memories of all guests of this process, read from outside of the sandbox.
//!
//! wasmtime gives no access to a component's memories, but they live in this process: the pooling allocator reserves
//! more than 4 GiB of address space for each, of which only the beginning is accessible, and maps the image of the
//! module's data into it. Linux tells all that in `/proc/self/maps`.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// What wasmtime calls the images of memories.
const IMAGE: &str = "wasm-memory-image";
/// The least that is reserved behind a linear memory: 4 GiB without the most a memory may have, and a guard.
const RESERVED: u64 = 3 << 30;
const PAGE: u64 = 4096;
/// Bits 63 and 62 of an entry of `/proc/self/pagemap`: the page is in memory, or swapped out.
const PRESENT: u64 = 0b11 << 62;

/// What a linear memory holds: of some guest that runs, or has run and left something behind.
#[derive(Debug)]
pub struct LinearMemory {
    /// Where it begins in this process.
    pub start: u64,
    /// Its touched pages, by runs of adjacent ones.
    pub contents: Vec<Vec<u8>>,
}

/// All linear memories of this process, as they are now. Pages that no guest has written to are left out.
///
/// # Panics
/// On anything but Linux on a machine with pages of 4 KiB.
pub fn linear_memories() -> Vec<LinearMemory> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let (memory, pages) = (File::open("/proc/self/mem").unwrap(), File::open("/proc/self/pagemap").unwrap());
    let read = |run: &Range<u64>| {
        let mut bytes = vec![0; (run.end - run.start) as usize];
        memory.read_exact_at(&mut bytes, run.start).unwrap();
        bytes
    };
    let of = |range: Range<u64>| LinearMemory {
        start: range.start,
        contents: touched(&pages, &range).iter().map(read).collect(),
    };
    reserved(&maps).into_iter().map(of).collect()
}

/// Adjacent mappings of `/proc/self/maps` that are readable, or not.
struct Span {
    range: Range<u64>,
    readable: bool,
    has_image: bool,
}

impl Span {
    /// One line.
    fn parse(line: &str) -> Option<Self> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        Some(Self {
            range: address(start)?..address(end)?,
            readable: rest.starts_with('r'),
            has_image: rest.contains(IMAGE),
        })
    }

    fn joins(&self, next: &Self) -> bool {
        self.range.end == next.range.start && self.readable == next.readable
    }
}

/// The accessible beginnings of linear memories: an image is among their mappings, and behind them is nothing but
/// reserved space.
fn reserved(maps: &str) -> Vec<Range<u64>> {
    let mut spans: Vec<Span> = Vec::new();
    for span in maps.lines().filter_map(Span::parse) {
        match spans.last_mut() {
            Some(last) if last.joins(&span) => {
                last.range.end = span.range.end;
                last.has_image |= span.has_image;
            }
            _ => spans.push(span),
        }
    }
    let is_memory = |pair: &&[Span]| {
        let [memory, behind] = pair else { return false };
        let is_reserved = !behind.readable && behind.range.end - behind.range.start >= RESERVED;
        memory.readable && memory.has_image && memory.range.end == behind.range.start && is_reserved
    };
    spans.windows(2).filter(is_memory).map(|pair| pair[0].range.clone()).collect()
}

/// The runs of pages that are there.
fn touched(pages: &File, range: &Range<u64>) -> Vec<Range<u64>> {
    let mut entries = vec![0; ((range.end - range.start) / PAGE * 8) as usize];
    pages.read_exact_at(&mut entries, range.start / PAGE * 8).unwrap();
    let mut runs: Vec<Range<u64>> = Vec::new();
    for (index, entry) in entries.chunks_exact(8).enumerate() {
        if u64::from_ne_bytes(entry.try_into().unwrap()) & PRESENT == 0 {
            continue;
        }
        let start = range.start + index as u64 * PAGE;
        match runs.last_mut() {
            Some(run) if run.end == start => run.end += PAGE,
            _ => runs.push(start..start + PAGE),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_linear_memories_from_the_rest() {
        let maps = "\
55a000000000-55a000100000 rw-p 00000000 00:00 0 [heap]
7e0000000000-7e0002000000 ---p 00000000 00:00 0
7e0002000000-7e0002100000 rw-p 00000000 00:00 0
7e0002100000-7e0002110000 rw-p 00100000 00:01 77 /memfd:wasm-memory-image (deleted)
7e0002110000-7e0002200000 rw-p 00000000 00:00 0
7e0002200000-7e0104000000 ---p 00000000 00:00 0
7e0104000000-7e0104100000 rw-p 00000000 00:00 0
7e0104100000-7e0108000000 ---p 00000000 00:00 0
7e0108000000-7e0108100000 rw-p 00000000 00:01 77 /memfd:wasm-memory-image (deleted)
7e0108100000-7e0108200000 ---p 00000000 00:00 0
7e0108200000-7e0108300000 rw-p 00000000 00:00 0
7e0200000000-7e0200100000 rw-p 00000000 00:01 78 /memfd:wasm-memory-image (deleted)
7e0200100000-7e0300000000 ---p 00000000 00:00 0
7e0300000000-7e0310000000 ---p 00000000 00:00 0
7f0000000000-7f0000100000 r-xp 00000000 fe:01 9 /usr/lib/libc.so.6
";
        assert_eq!(reserved(maps), [0x7e00_0200_0000..0x7e00_0220_0000, 0x7e02_0000_0000..0x7e02_0010_0000]);
    }

    #[test]
    fn reads_touched_pages_only() {
        let held = std::hint::black_box(vec![7_u8; 64 * PAGE as usize]);
        let start = held.as_ptr().addr() as u64 / PAGE * PAGE + PAGE;
        let pages = File::open("/proc/self/pagemap").unwrap();
        assert_eq!(touched(&pages, &(start..start + 10 * PAGE)), vec![start..start + 10 * PAGE]);
        assert_eq!(touched(&pages, &(PAGE..2 * PAGE)), Vec::<Range<u64>>::new());
    }
}
