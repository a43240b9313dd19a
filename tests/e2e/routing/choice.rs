//! The operator's strategies.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lethe_testkit::lethe::Lethe;
use lethe_testkit::provider::Provider;
use lethe_testkit::wire::{COMPLETION, Say, Wire, answer};

use super::{Scene, asked, good_wire, route, told};
use crate::{CHAT, chat};

#[test]
fn weights_orders_and_prices_decide() {
    let (north, south) = (Provider::start(None), Provider::start(None));
    let priced = |provider: &str, model: &str, input: &str, output: &str| {
        format!(
            "{{ provider = \"{provider}\", model = \"{model}\", price = {{ currency = \"USD\", input_per_million = \"{input}\", output_per_million = \"{output}\" }} }}"
        )
    };
    let weighed = |provider: &str, weight: u32| format!("{{ provider = \"{provider}\", model = \"w\", weight = {weight} }}");
    let lethe = Scene::new("")
        .provider("north", north.address, "")
        .provider("south", south.address, "")
        .model("weighted", "weighted", &[weighed("north", 3), weighed("south", 1)])
        .model("ordered", "ordered", &[route("south", "o"), route("north", "o")])
        // Dearer to ask, and cheaper with its answer.
        .model("cheapest", "cheapest", &[priced("north", "c", "1.5", "2"), priced("south", "c", "2", "1.000000001")])
        .start();
    let mut client = lethe.client();
    let mut shares = [0_usize; 2];
    for _ in 0..400 {
        let answer = client.post(CHAT, &chat("weighted", ""));
        let (status, provider, attempts) = told(&answer);
        assert_eq!((status, attempts), (200, "1"));
        shares[usize::from(provider == "south")] += 1;
    }
    assert_eq!([asked(&north, "w"), asked(&south, "w")], shares, "as the answers say, and nothing was asked twice");
    // Three quarters of 400, give or take five standard deviations (8.7 each).
    assert!((256..=344).contains(&shares[0]), "{shares:?}");
    for _ in 0..10 {
        assert_eq!(told(&client.post(CHAT, &chat("ordered", ""))), (200, "south", "1"));
        assert_eq!(told(&client.post(CHAT, &chat("cheapest", ""))), (200, "south", "1"));
    }
    assert_eq!([asked(&north, "o"), asked(&south, "o"), asked(&north, "c"), asked(&south, "c")], [0, 10, 0, 10]);
}

/// So many requests, eight at a time.
fn load(lethe: &Lethe, model: &str, count: usize) {
    let left = AtomicUsize::new(count);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = lethe.client();
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    assert_eq!(told(&client.post(CHAT, &chat(model, ""))).0, 200);
                }
            });
        }
    });
}

#[test]
fn the_least_loaded_leaves_the_slow_one_alone() {
    let (quick, slow) = (good_wire(), Wire::start(Say::After(Duration::from_secs(1), answer(COMPLETION))));
    let routes = [route("quick", "m"), route("slow", "m")];
    let lethe = Scene::new("")
        .provider("quick", quick.address, "")
        .provider("slow", slow.address, "")
        .model("least", "least-loaded", &routes)
        .model("blind", "weighted", &routes)
        .start();
    load(&lethe, "least", 200);
    let least = slow.requests();
    assert_eq!(quick.requests() + least, 200);
    // A busy machine makes the quick one slow for moments; a fair share would be 100.
    assert!((1..=40).contains(&least), "{least} of 200");
    load(&lethe, "blind", 40);
    let blind = slow.requests() - least;
    // Control: without a look at the load it gets its half, give or take five standard deviations (3.2 each).
    assert!((4..=36).contains(&blind), "{blind} of 40");
    assert_eq!(quick.requests() + slow.requests(), 240);
}
