//! Misuse of the macros is told at the user's line.

#[test]
fn misuse_is_told_at_the_users_line() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/macros/*.rs");
}
