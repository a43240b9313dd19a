//! What requests did on their routes and what has gone wrong in this process, counted for control. There is one gateway in a process, so
//! there is one of these.

use lethe_link::Counts;
use lethe_types::Refused;

use crate::problem::Problem;

/// Every worker counts here.
pub(crate) static COUNTS: Counts = Counts::new();

/// A client is told of `problem`. One that is a provider's has been counted on its route.
pub(crate) fn told(problem: &Problem) {
    if let Some(refused) = problem.refused {
        COUNTS.refused(refused);
    }
}

/// A connection ended before it asked for anything.
pub(crate) fn turned_away(refused: Refused) {
    COUNTS.refused(refused);
}
