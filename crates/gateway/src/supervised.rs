//! What the supervisor asks of a running gateway.

use lethe_confine::Watch;
use lethe_confine::channel::AsyncChannel;
use lethe_confine::dial;
use lethe_handover::{FromChild, ToChild};

/// Answers the supervisor until it asks for the drain, or is gone (then nobody watches over this process: it drains too).
pub(crate) async fn until_drain(channel: &AsyncChannel, watch: &Watch, dialer: &dial::Client) {
    loop {
        match channel.recv::<ToChild>().await {
            Ok((ToChild::SelfTest, _)) => {
                let posture = FromChild::Posture(Box::new(watch.again()));
                if channel.send(&posture, &[]).await.is_err() {
                    return;
                }
            }
            Ok((ToChild::ReplaceDialer, mut descriptors)) => {
                if let Some(socket) = descriptors.pop() {
                    dialer.replace(socket).await;
                }
            }
            Ok((ToChild::Drain, _)) | Err(_) => return,
            // A second boot message is nobody's to send.
            Ok(_) => {}
        }
    }
}
