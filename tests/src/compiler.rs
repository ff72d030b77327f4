//! How stories compile: in this process, or apart as `headgate serve` does, where the test binary runs itself again as
//! the process that compiles.

use std::sync::LazyLock;

use headgate::wasm::{Compiled, Compiler, Program, compile_child};

/// The test that is the child. It calls [`compile`].
const CHILD: &str = "loading::compiling_process";
/// Tells the child from a run of all tests.
const VARIABLE: &str = "STORY_COMPILES";

/// What the child does. Without its variable, as when all tests run, it does nothing.
pub fn compile() {
    if std::env::var_os(VARIABLE).is_some() {
        compile_child();
    }
}

/// In this process; what one story compiled is compiled for all.
pub fn shared() -> Compiler {
    static SHARED: LazyLock<Compiled> = LazyLock::new(Compiled::default);
    Compiler::InProcess(SHARED.clone())
}

/// A compiler whose process is this test binary.
pub fn child() -> Compiler {
    Compiler::Child(Program {
        path: std::env::current_exe().unwrap(),
        arguments: ["--exact", CHILD, "--nocapture"].map(Into::into).into(),
        variables: vec![(VARIABLE.to_owned(), "1".to_owned())],
    })
}
