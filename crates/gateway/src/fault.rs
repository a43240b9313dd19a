//! Test builds only: a panic that formats content, to show that even that reaches nothing.

/// What a body must contain to be panicked over.
const TRIGGER: &[u8] = b"lethe-fault-injection-panic";

#[expect(clippy::panic, reason = "the purpose of this test-only feature")]
#[inline(never)]
pub(crate) fn panic_if_asked(body: &[u8]) {
    if body.windows(TRIGGER.len()).any(|window| window == TRIGGER) {
        panic!("{}", String::from_utf8_lossy(body));
    }
}
