//! The one engine of the process, and its clock.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::thread;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::wasm::cpu::TICK;
use crate::wasm::error::WasmError;
use crate::wasm::settings::{CORE_INSTANCES_PER_INSTANCE, MEMORIES_PER_INSTANCE, TABLES_PER_INSTANCE, WasmSettings};

/// wasmtime's bookkeeping for one instance; what large guests (Python) need, with room to spare.
const INSTANCE_BYTES: usize = 10 * 1024 * 1024;
/// The part of a place's tables that is kept for its next instance; large guests use about as much.
const TABLE_KEEP_RESIDENT: usize = 512 * 1024;

/// Makes the engine and starts its clock, which ends with the engine.
pub(super) fn start(settings: &WasmSettings) -> Result<Engine, WasmError> {
    let engine = Engine::new(&config(settings)).map_err(|error| WasmError::Engine { reason: format!("{error:#}") })?;
    let weak = engine.weak();
    // A thread of the system and no task: guests may be holding every thread of the runtime.
    thread::Builder::new()
        .name("headgate-clock".into())
        .spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        })
        .map_err(WasmError::Clock)?;
    Ok(engine)
}

/// Identifies what code compiled by this engine depends on: version, target, settings of the compiler.
pub(super) fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// Makes an engine that only compiles: its code fits the engine that runs it, and it reserves no places.
pub(super) fn compiling() -> Result<Engine, WasmError> {
    Engine::new(&code()).map_err(|error| WasmError::Engine { reason: format!("{error:#}") })
}

fn config(settings: &WasmSettings) -> Config {
    let mut config = code();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings)));
    config
}

/// What decides how code looks.
fn code() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // The WIT stands on the synchronous ABI; without this each store would carry the state of the asynchronous one.
        .concurrency_support(false)
        .epoch_interruption(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

fn pool(settings: &WasmSettings) -> PoolingAllocationConfig {
    let instances = settings.instances();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_INSTANCE))
        .total_memories(instances.saturating_mul(MEMORIES_PER_INSTANCE))
        .total_tables(instances.saturating_mul(TABLES_PER_INSTANCE))
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES_PER_INSTANCE)
        .max_memories_per_component(MEMORIES_PER_INSTANCE)
        .max_memories_per_module(MEMORIES_PER_INSTANCE)
        .max_tables_per_component(TABLES_PER_INSTANCE)
        .max_tables_per_module(TABLES_PER_INSTANCE)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_memory_size(settings.memory_bytes)
        .table_elements(settings.table_elements)
        .linear_memory_keep_resident(settings.keep_resident_bytes)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        // Asks the kernel which pages were touched instead of resetting all: a third of the time per call.
        .pagemap_scan(Enabled::Auto);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compiled_apart_fits_the_engine_that_runs() {
        let settings = WasmSettings { flow_instances: 2, connector_instances: 2, ..WasmSettings::default() };
        let (running, apart) = (start(&settings).unwrap(), compiling().unwrap());
        assert_eq!(compatibility(&running), compatibility(&apart));
    }
}
