//! What one instance, and all instances together, may use of memory and tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

use crate::wasm::settings::{CORE_INSTANCES_PER_INSTANCE, MEMORIES_PER_INSTANCE, TABLES_PER_INSTANCE, WasmSettings};

/// The linear memory of all instances, in bytes.
#[derive(Debug, Default)]
pub(super) struct TotalMemory(AtomicUsize);

/// Why memory was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The instance has had its share.
    ByInstance,
    /// All instances together have had theirs.
    ByServer,
}

/// Counts the memory and table elements of one instance, over all of its memories and tables.
pub(super) struct Limiter {
    memory: usize,
    memory_most: usize,
    last_growth: usize,
    elements: usize,
    elements_most: usize,
    total: Arc<TotalMemory>,
    total_most: usize,
    refused: Option<Refused>,
}

impl Limiter {
    pub(super) fn new(settings: &WasmSettings, total: Arc<TotalMemory>) -> Self {
        Self {
            memory: 0,
            memory_most: settings.memory_bytes,
            last_growth: 0,
            elements: 0,
            elements_most: settings.table_elements,
            total,
            total_most: settings.total_memory_bytes,
            refused: None,
        }
    }

    /// Why memory was refused, if it ever was.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    fn release(&mut self, bytes: usize) {
        self.memory -= bytes;
        self.total.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        self.last_growth = 0;
        if self.memory.saturating_add(growth) > self.memory_most {
            self.refused = Some(Refused::ByInstance);
            return Ok(false);
        }
        if self.total.0.fetch_add(growth, Ordering::Relaxed).saturating_add(growth) > self.total_most {
            self.total.0.fetch_sub(growth, Ordering::Relaxed);
            self.refused = Some(Refused::ByServer);
            return Ok(false);
        }
        self.memory += growth;
        self.last_growth = growth;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        let growth = std::mem::take(&mut self.last_growth);
        self.release(growth);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        if self.elements.saturating_add(growth) > self.elements_most {
            self.refused = Some(Refused::ByInstance);
            return Ok(false);
        }
        self.elements += growth;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_PER_INSTANCE as usize
    }

    fn tables(&self) -> usize {
        TABLES_PER_INSTANCE as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_PER_INSTANCE as usize
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.release(self.memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 65_536;

    fn limiter(total: &Arc<TotalMemory>) -> Limiter {
        let settings = WasmSettings {
            memory_bytes: 4 * PAGE,
            total_memory_bytes: 6 * PAGE,
            table_elements: 10,
            ..WasmSettings::default()
        };
        Limiter::new(&settings, Arc::clone(total))
    }

    #[test]
    fn sums_over_all_memories_and_tables() {
        let mut limiter = limiter(&Arc::default());
        assert!(limiter.memory_growing(0, 3 * PAGE, None).unwrap());
        assert!(!limiter.memory_growing(0, 2 * PAGE, None).unwrap(), "a second memory takes from the same share");
        assert_eq!(limiter.refused(), Some(Refused::ByInstance));
        assert!(limiter.memory_growing(0, PAGE, None).unwrap());
        assert!(limiter.table_growing(0, 6, None).unwrap());
        assert!(!limiter.table_growing(0, 6, None).unwrap());
        assert!(limiter.table_growing(6, 10, None).unwrap());
    }

    #[test]
    fn sums_over_all_instances_and_gives_back() {
        let total = Arc::default();
        let mut first = limiter(&total);
        let mut second = limiter(&total);
        assert!(first.memory_growing(0, 4 * PAGE, None).unwrap());
        assert!(!second.memory_growing(0, 3 * PAGE, None).unwrap());
        assert_eq!(second.refused(), Some(Refused::ByServer));
        drop(first);
        assert!(second.memory_growing(0, 3 * PAGE, None).unwrap());
        drop(second);
        assert_eq!(total.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn growth_that_failed_is_not_kept() {
        let total = Arc::default();
        let mut limiter = limiter(&total);
        assert!(limiter.memory_growing(0, 2 * PAGE, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert_eq!(total.0.load(Ordering::Relaxed), 0);
        assert!(limiter.memory_growing(0, 4 * PAGE, None).unwrap());
    }
}
