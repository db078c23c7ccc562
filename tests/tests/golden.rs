//! The scalar path gives the same bits on every target: here, on aarch64, and in `examples/firmware` on a microcontroller.

#[path = "../../examples/firmware/src/golden.rs"]
mod golden;
#[path = "../../examples/firmware/src/scenario.rs"]
mod scenario;

use scenario::Bits;

fn check(bundle: &[u8], expected: &Bits) {
    // More than there: this build has features that the microcontroller's leaves out.
    let mut memory = vec![f32::NAN; scenario::MEMORY + 64];
    let mut order = Vec::new();
    let bits = scenario::play(bundle, &mut memory, |part| order.push(part)).unwrap();
    assert_eq!(bits, *expected, "{bits:#010x?}");
    assert!(bits.losses.map(f32::from_bits).is_sorted_by(|before, after| after < before), "it did not learn");
    assert_ne!(bits.prediction, bits.start);
    assert!(order.ends_with(&["adapt", "", "predict", "", "reset"]));
}

#[test]
fn an_arm_gives_these_bits() {
    check(scenario::ARM, &golden::ARM);
}

#[test]
fn every_activation_and_loss_gives_these_bits() {
    check(scenario::ALL_KINDS, &golden::ALL_KINDS);
}
