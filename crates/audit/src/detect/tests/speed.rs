use std::time::Instant;

use super::*;

/// `cargo nextest run --release -p lethe-audit --run-ignored only -- how_fast` and look at the output.
#[test]
#[ignore = "measures"]
fn how_fast() {
    let run = Run::new();
    let detector = Detector::new(&run.canaries);
    let length = 128 << 20;
    let hex: Vec<u8> = random(length / 2, 3).iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect();
    let base64 = crate::encode::encode_shifted(&random(length / 4 * 3, 4), 0, false);
    let numbers: Vec<u8> = random(length / 8, 5)
        .chunks_exact(4)
        .flat_map(|four| format!("{}, ", f64::from(u32::from_le_bytes(four.try_into().unwrap())) / 4_294_967_296.0).into_bytes())
        .collect();
    println!("making one: {:?}", {
        let start = Instant::now();
        let _ = Detector::new(&run.canaries);
        start.elapsed()
    });
    let data = [
        ("random", random(length, 1)),
        ("log", log_like(length, 2)),
        ("zeros", vec![0; length]),
        ("hex", hex),
        ("base64", base64),
        ("numbers", numbers),
    ];
    for (name, bytes) in data {
        let start = Instant::now();
        let looked = all(&detector, &bytes);
        let time = start.elapsed();
        assert_eq!(looked.hits, []);
        println!("{name}: {:.0} MB/s", bytes.len() as f64 / time.as_secs_f64() / 1e6);
    }
}
