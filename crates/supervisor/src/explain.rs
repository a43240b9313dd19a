//! What a failed step of a start means, and what to do about it.

use lethe_handover::Stage;

/// What the step does, and what to do when it fails.
pub(crate) const fn stage(stage: Stage) -> (&'static str, &'static str) {
    match stage {
        Stage::Boot => (
            "it could not read its boot message",
            "the executables are probably of different versions: install lethe, lethe-dataplane and lethe-engine together",
        ),
        Stage::SingleThread => (
            "it did not start with one thread and an empty environment",
            "/proc must be mounted; nothing may be preloaded into it (LD_PRELOAD, /etc/ld.so.preload)",
        ),
        Stage::Secrets => (
            "it could not take over its keys and descriptors, or there is no secret or locked memory for them",
            "raise the limit of locked memory (ulimit -l) to at least 8192 KiB",
        ),
        Stage::Identity => (
            "it could not become its own user or give up its rights",
            "start lethe as root with CAP_SETUID, CAP_SETGID and CAP_SETPCAP, or as an ordinary user without any capability",
        ),
        Stage::CoreLimit => {
            ("core dumps could not be switched off", "the kernel refused setrlimit: look for a filter around lethe itself")
        }
        Stage::Dumpable => ("it could not be made undumpable", "the kernel refused prctl: look for a filter around lethe itself"),
        Stage::FileSizeLimit => ("the limit that keeps files from growing was refused", "look for a filter around lethe itself"),
        Stage::NoNewPrivileges => {
            ("new privileges could not be excluded", "the kernel refused prctl: look for a filter around lethe itself")
        }
        Stage::Swap => (
            "memory could be swapped to disk: it can neither be locked nor is swap off",
            "switch swap off (swapoff -a), or raise the limit of locked memory (ulimit -l unlimited, LimitMEMLOCK=infinity)",
        ),
        Stage::StandardStreams => ("its standard streams could not be closed", "/dev/null must be the null device"),
        Stage::Descriptors => ("it holds a descriptor that it was not given", "please report this: it is a mistake in Lethe"),
        Stage::Filesystem => (
            "the wall around the file system could not be put up",
            "the kernel needs Landlock (CONFIG_SECURITY_LANDLOCK, lsm=landlock,…), or user namespaces for ordinary users",
        ),
        Stage::SystemCalls => ("the filter of system calls could not be installed", "the kernel needs CONFIG_SECCOMP_FILTER"),
        Stage::SelfTest => (
            "a way out was still open after confinement, so it refused to serve",
            "another kernel or container runtime may help; please report which way it was",
        ),
        Stage::Role => (
            "it could not take in what it serves with (certificates, listeners, model)",
            "check the certificate and key in the configuration, and the model file",
        ),
        Stage::Serving => ("it ended just before it began to serve", "please report this: it is a mistake in Lethe"),
    }
}

/// The step's name in messages.
pub(crate) const fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Boot => "boot",
        Stage::SingleThread => "single_thread",
        Stage::Secrets => "secrets",
        Stage::Identity => "identity",
        Stage::CoreLimit => "core_limit",
        Stage::Dumpable => "dumpable",
        Stage::FileSizeLimit => "file_size_limit",
        Stage::NoNewPrivileges => "no_new_privileges",
        Stage::Swap => "swap",
        Stage::StandardStreams => "standard_streams",
        Stage::Descriptors => "descriptors",
        Stage::Filesystem => "filesystem",
        Stage::SystemCalls => "system_calls",
        Stage::SelfTest => "self_test",
        Stage::Role => "role",
        Stage::Serving => "serving",
    }
}
