//! What to say of a component whose interfaces have the right names and versions, and other contents.

use std::fmt::Write as _;

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Type};

use crate::wasm::error::LoadError;
use crate::wasm::inspect::World;

/// The interfaces as this server offers them.
const WIT: &str = include_str!("../../../sdk/wit/runtime.wit");
/// The deepest type that is written out; what is deeper is left out.
const DEEPEST: usize = 3;

/// Tells what a component wants, what there is, and where they differ first.
pub(super) fn mismatch(world: World, engine: &Engine, component: &Component, error: &wasmtime::Error) -> LoadError {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let named = |words: &str| {
        let cause = causes.iter().find(|cause| cause.contains(words))?;
        cause.split('`').nth(1).map(str::to_owned)
    };
    let difference = causes.last().cloned().unwrap_or_default();
    let interface = named("imports instance");
    let function = named("instance export");
    let mut reason = match &interface {
        Some(interface) => format!("it imports {interface} in another form than this server offers it."),
        None => format!("it exports the interface of a {world} in another form than this server calls it."),
    };
    if let (Some(interface), Some(function)) = (&interface, &function) {
        if let Some(wanted) = imported(engine, component, interface, function) {
            let _ = write!(reason, " Wanted: {wanted}.");
        }
        if let Some(offered) = offered(interface, function) {
            let _ = write!(reason, " Offered: {offered}.");
        }
    }
    let _ = write!(reason, " First difference: {difference}");
    LoadError::Mismatch { reason }
}

/// A function of an imported interface, as the component has it.
fn imported(engine: &Engine, component: &Component, interface: &str, function: &str) -> Option<String> {
    let ty = component.component_type();
    let (_, item) = ty.imports(engine).find(|(name, _)| *name == interface)?;
    let ComponentItem::ComponentInstance(instance) = item.ty else { return None };
    let found = instance.exports(engine).find(|(name, _)| *name == function)?.1;
    match found.ty {
        ComponentItem::ComponentFunc(found) => Some(signature(function, &found)),
        _ => None,
    }
}

fn signature(name: &str, function: &ComponentFunc) -> String {
    let parameters: Vec<_> = function.params().map(|(name, ty)| format!("{name}: {}", written(&ty, 0))).collect();
    let results: Vec<_> = function.results().map(|ty| written(&ty, 0)).collect();
    let arrow = if results.is_empty() { String::new() } else { format!(" -> {}", results.join(", ")) };
    format!("{name}: func({}){arrow}", parameters.join(", "))
}

/// A type as WIT writes it, where it has no name.
fn written(ty: &Type, depth: usize) -> String {
    if depth == DEEPEST {
        return "..".to_owned();
    }
    let inner = |ty: &Type| written(ty, depth + 1);
    let or_none = |ty: Option<Type>| ty.map_or_else(|| "_".to_owned(), |ty| inner(&ty));
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::S8 => "s8".to_owned(),
        Type::U8 => "u8".to_owned(),
        Type::S16 => "s16".to_owned(),
        Type::U16 => "u16".to_owned(),
        Type::S32 => "s32".to_owned(),
        Type::U32 => "u32".to_owned(),
        Type::S64 => "s64".to_owned(),
        Type::U64 => "u64".to_owned(),
        Type::Float32 => "f32".to_owned(),
        Type::Float64 => "f64".to_owned(),
        Type::Char => "char".to_owned(),
        Type::String => "string".to_owned(),
        Type::List(list) => format!("list<{}>", inner(&list.ty())),
        Type::Option(option) => format!("option<{}>", inner(&option.ty())),
        Type::Result(result) => format!("result<{}, {}>", or_none(result.ok()), or_none(result.err())),
        Type::Tuple(tuple) => {
            format!("tuple<{}>", tuple.types().map(|ty| inner(&ty)).collect::<Vec<_>>().join(", "))
        }
        Type::Record(record) => {
            let fields: Vec<_> = record.fields().map(|field| format!("{}: {}", field.name, inner(&field.ty))).collect();
            format!("record {{ {} }}", fields.join(", "))
        }
        Type::Enum(cases) => format!("enum {{ {} }}", cases.names().collect::<Vec<_>>().join(", ")),
        Type::Variant(variant) => {
            format!("variant {{ {} }}", variant.cases().map(|case| case.name).collect::<Vec<_>>().join(", "))
        }
        Type::Flags(flags) => format!("flags {{ {} }}", flags.names().collect::<Vec<_>>().join(", ")),
        Type::Own(_) => "a resource".to_owned(),
        Type::Borrow(_) => "a borrowed resource".to_owned(),
        _ => "..".to_owned(),
    }
}

/// A function as this server's WIT has it: the line that begins with its name, within its interface.
fn offered(interface: &str, function: &str) -> Option<String> {
    let name = interface.strip_prefix("headgate:runtime/")?.split('@').next()?;
    let (_, rest) = WIT.split_once(&format!("\ninterface {name} {{"))?;
    let (body, _) = rest.split_once("\n}")?;
    let line = body.lines().map(str::trim).find(|line| line.starts_with(&format!("{function}: func(")))?;
    Some(line.trim_end_matches(';').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_in_the_wit() {
        let found = offered("headgate:runtime/run@0.1.0", "log").unwrap();
        assert_eq!(found, "log: func(level: level, message: string)");
        assert_eq!(offered("headgate:runtime/run@0.1.0", "nothing"), None);
        assert_eq!(offered("wasi:io/streams@0.2.12", "log"), None);
    }

    #[test]
    fn a_function_is_written_as_wit_writes_it() {
        let engine = Engine::default();
        let text = r#"(component
            (import "a:b/c@1.0.0" (instance (export "f" (func (param "x" (list u8)) (param "y" (option string)) (result (tuple bool u64)))))))"#;
        let component = Component::new(&engine, text.as_bytes())
            .or_else(|_| Component::from_binary(&engine, &wat::parse_str(text).unwrap()))
            .unwrap();
        let found = imported(&engine, &component, "a:b/c@1.0.0", "f").unwrap();
        assert_eq!(found, "f: func(x: list<u8>, y: option<string>) -> tuple<bool, u64>");
    }
}
