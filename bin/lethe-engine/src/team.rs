//! The threads that compute one step together.
//!
//! The number is always given: asked to choose by itself, rayon would read the environment and control-group files, which a confined
//! process cannot open. A team of one has no threads at all and works on the caller's.

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use crate::gguf::ModelError;

/// A fixed number of threads, shared by all generations.
pub(crate) struct Team {
    pool: Option<rayon::ThreadPool>,
    threads: usize,
}

impl Team {
    pub(crate) fn new(threads: usize) -> Result<Self, ModelError> {
        let pool = if threads > 1 {
            Some(rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|_| ModelError::Threads)?)
        } else {
            None
        };
        Ok(Self { pool, threads: threads.max(1) })
    }

    /// Runs `step` so that [`Self::split`] inside it finds the team's threads at hand.
    pub(crate) fn run<T: Send>(&self, step: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(step),
            None => step(),
        }
    }

    /// Cuts `out` into one piece per thread, at multiples of `unit`, and has `work` fill them at once. `work` is told how many units
    /// lie before its piece.
    pub(crate) fn split(&self, out: &mut [f32], unit: usize, work: impl Fn(usize, &mut [f32]) + Send + Sync) {
        let units = (out.len() / unit).div_ceil(self.threads).max(1);
        match &self.pool {
            Some(pool) => pool
                .install(|| out.par_chunks_mut(units * unit).enumerate().for_each(|(index, piece)| work(index * units, piece))),
            None => work(0, out),
        }
    }
}
