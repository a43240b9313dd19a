//! Formatting, logging, storing or copying content does not compile. The expected errors name the missing trait, so that a test
//! that fails for another reason does not pass.

#[test]
fn content_types_fail_to_compile_when_told() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/fail/*.rs");
    // Control: the same program with the one door that there is compiles.
    cases.pass("tests/pass/*.rs");
}
