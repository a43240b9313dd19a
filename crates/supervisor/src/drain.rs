//! The end of everything, in order.

use std::time::Duration;

use lethe_handover::Role;
use tokio::time::timeout;

use crate::{Notice, part::Handle};

/// The order of the end: who takes requests first, who keeps the books last.
const ORDER: [Role; 5] = [Role::Gateway, Role::Node, Role::Engine, Role::Dialer, Role::Control];

/// How long parts get to finish.
#[derive(Clone, Copy, Debug)]
pub struct DrainLimits {
    /// The gateway and the node, which have requests to finish.
    pub serving: Duration,
    /// Every other part.
    pub other: Duration,
}

/// One role after the other: a part that is draining may still need those that come later. Parts with the same role drain side
/// by side.
pub(crate) async fn drain(handles: &[Handle], limits: DrainLimits, tell: &impl Fn(Notice)) {
    for role in ORDER {
        let limit = if matches!(role, Role::Gateway | Role::Node) { limits.serving } else { limits.other };
        let of_role: Vec<&Handle> = handles.iter().filter(|handle| handle.role == role).collect();
        of_role.iter().for_each(|handle| handle.drain());
        let end = tokio::time::Instant::now() + limit;
        for handle in of_role {
            let mut handle = handle.clone();
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            if timeout(left, handle.ended()).await.is_err() {
                tell(Notice::Late(role));
                handle.kill();
                handle.ended().await;
            }
        }
    }
}
