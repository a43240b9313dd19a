//! Tests of the whole: `lethe up` as users run it, against real clients, the real kernel and a scripted provider.
