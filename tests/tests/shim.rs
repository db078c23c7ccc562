//! What the CUDA shim promises to the tests that rely on it: results, and that it sees what is wrong.

use sinew_tests::shim::{Memory, Order, Shim};
use sinew_trainer::cuda::{Address, Device, DeviceError, Kernel, Launch, Limits};

const ORDERS: [Order; 4] = [Order::Forward, Order::Reverse, Order::Shuffled(1), Order::Shuffled(2)];

fn shim(order: Order) -> Shim {
    Shim::new(Limits::h100(), order)
}

fn floats(device: &Shim, values: impl IntoIterator<Item = f32>) -> Memory {
    let words: Vec<_> = values.into_iter().map(f32::to_bits).collect();
    let mut memory = device.allocate(words.len()).unwrap();
    device.write(&mut memory, &words).unwrap();
    memory
}

fn read(device: &Shim, memory: &Memory, count: usize) -> Vec<f32> {
    let mut words = vec![0; count];
    device.read(memory, &mut words).unwrap();
    words.into_iter().map(f32::from_bits).collect()
}

/// As `Numbers` in `self_test.cu`.
fn numbers(device: &Shim, from: &Memory, to: &Memory, count: u32, choice: u32) -> [u64; 3] {
    [device.address(from).0, device.address(to).0, u64::from(count) | u64::from(choice) << 32]
}

fn why(result: Result<(), DeviceError>) -> String {
    match result {
        Err(DeviceError::Driver { why, .. }) => why,
        other => panic!("an error of the driver is expected, got {other:?}"),
    }
}

#[test]
fn blocks_sum_in_any_order_of_their_threads() {
    for order in ORDERS {
        for threads in [32, 64, 100, 256] {
            let device = shim(order);
            let from = floats(&device, (0..500).map(|i| i as f32));
            let blocks = 500_u32.div_ceil(threads);
            let to = floats(&device, vec![0.0; blocks as usize]);
            // A warp that is not whole is no matter of `sum_over_block`, which takes numbers from all 32 lanes.
            let result = device.launch("test_sum", [blocks, 1, 1], threads, 0, &numbers(&device, &from, &to, 500, 0));
            result.unwrap();
            let sums = read(&device, &to, blocks as usize);
            for (block, sum) in sums.iter().enumerate() {
                let own = (block * threads as usize..500).take(threads as usize);
                let expected: f32 = own.map(|i| i as f32).sum();
                if threads % 32 == 0 {
                    assert_eq!(*sum, expected, "{order:?}, {threads} threads, block {block}");
                } else {
                    assert!(sum.is_nan());
                }
            }
        }
    }
}

#[test]
fn every_thread_of_every_block_runs_once() {
    for order in ORDERS {
        for threads in [1, 31, 1024] {
            let device = shim(order);
            let to = floats(&device, vec![-1.0; 24 * threads as usize]);
            device.launch("test_place", [2, 3, 4], threads, 0, &numbers(&device, &to, &to, 0, 0)).unwrap();
            for (at, value) in read(&device, &to, 24 * threads as usize).into_iter().enumerate() {
                assert_eq!(value as usize, at / threads as usize * 10000 + at % threads as usize);
            }
        }
    }
}

#[test]
fn a_missing_barrier_shows_in_the_order_of_threads() {
    let results = |with_barrier| {
        ORDERS.map(|order| {
            let device = shim(order);
            let from = floats(&device, (0..64).map(|i| i as f32));
            let to = floats(&device, vec![0.0; 64]);
            device.launch("test_race", [1; 3], 64, 256, &numbers(&device, &from, &to, 64, with_barrier)).unwrap();
            read(&device, &to, 64)
        })
    };
    let expected: Vec<_> = (0..64).map(|i| ((i + 1) % 64) as f32).collect();
    for result in results(1) {
        assert_eq!(result, expected);
    }
    // What was not yet there is NaN: going forward for all but the last thread, going back for the last.
    let [forward, reverse, ..] = results(0);
    assert!(forward[..63].iter().all(|value| value.is_nan()) && forward[63] == expected[63]);
    assert!(reverse[63].is_nan() && reverse[..63] == expected[..63]);
}

/// Lanes wait for each other at a shuffle, warps do not.
#[test]
fn a_warp_may_run_ahead_of_others() {
    let results = |with_barrier| {
        ORDERS.map(|order| {
            let device = shim(order);
            let from = floats(&device, (0..64).map(|i| i as f32));
            let to = floats(&device, vec![0.0; 64]);
            device.launch("test_ahead", [1; 3], 64, 256, &numbers(&device, &from, &to, 64, with_barrier)).unwrap();
            read(&device, &to, 64)
        })
    };
    let expected: Vec<_> = (0..64).map(|i| ((i + 32) % 64) as f32).collect();
    for result in results(1) {
        assert_eq!(result, expected);
    }
    let [_, reverse, ..] = results(0);
    assert_eq!(reverse[32..], expected[32..]);
    assert_eq!(reverse[..32], [-1.0; 32]);
}

#[test]
fn shuffles_and_votes_are_those_of_a_warp() {
    for order in ORDERS {
        let device = shim(order);
        let from = floats(&device, (0..32).map(|i| i as f32));
        let to = floats(&device, vec![0.0; 8 * 32]);
        device.launch("test_warp", [1; 3], 32, 0, &numbers(&device, &from, &to, 0, 0)).unwrap();
        for (lane, values) in read(&device, &to, 8 * 32).chunks(8).enumerate() {
            let down = if lane < 30 { lane + 2 } else { lane };
            let up = if lane < 2 { lane } else { lane - 2 };
            let expected = [5, lane / 8 * 8 + 3, lane ^ 16, down, up, 7, 3, 0].map(|value| value as f32);
            assert_eq!(values, expected, "{order:?}, lane {lane}");
        }
    }
}

#[test]
fn threads_that_part_are_an_error() {
    let parts = [
        (1, "thread 0 waits at __syncthreads (self_test.cu:", "but thread 40 has returned: all threads of a block"),
        (2, "thread 0 waits at __shfl_xor_sync (self_test.cu:", "but thread 1 waits at __syncthreads (self_test.cu:"),
        (3, "thread 1 at __syncthreads", "other threads of the block wait at __syncthreads (self_test.cu:"),
        (4, "thread 32 waits at __shfl_xor_sync", "but thread 40 has returned: all lanes of a warp"),
        (5, "thread 1 at __shfl_xor_sync", "other lanes of the warp wait at __shfl_down_sync (self_test.cu:"),
        (6, "thread 0 at __shfl_xor_sync", "the mask 0000ffff leaves out lanes of its warp, which has 32"),
        (7, "block 0, 0, 0: 52000 bytes of static", "49152"),
    ];
    for order in ORDERS {
        let device = shim(order);
        let to = floats(&device, vec![0.0; 64]);
        let run = |choice| device.launch("test_diverge", [1; 3], 64, 0, &numbers(&device, &to, &to, 0, choice));
        run(0).unwrap();
        for (choice, first, second) in parts {
            let why = why(run(choice));
            if order == Order::Forward {
                assert!(why.contains(first) && why.contains(second), "{choice}: {why}");
            }
        }
        // And the device is none the worse for it.
        run(0).unwrap();
    }
}

#[test]
fn a_launch_that_a_driver_would_refuse_is_refused() {
    let device = shim(Order::Forward);
    let to = floats(&device, vec![0.0; 1024]);
    let arguments = numbers(&device, &to, &to, 0, 0);
    let launch =
        |name, grid, threads, shared, words| why(device.launch(name, grid, threads, shared, &arguments[..words]));
    assert_eq!(launch("test_nothing", [1; 3], 32, 0, 3), "no kernel of this name");
    assert_eq!(launch("test_sum", [1; 3], 32, 0, 2), "an argument of 24 bytes is expected, got 16");
    assert_eq!(launch("test_sum", [1; 3], 257, 0, 3), "from 1 to 256 threads are expected, got 257");
    assert_eq!(launch("test_sum", [1; 3], 0, 0, 3), "from 1 to 256 threads are expected, got 0");
    assert!(launch("test_sum", [1, 0, 1], 32, 0, 3).starts_with("a grid of 1 x 0 x 1 blocks"));
    assert!(launch("test_sum", [1, 65536, 1], 32, 0, 3).starts_with("a grid of 1 x 65536 x 1 blocks"));
    let most = device.limits().shared_of_block;
    assert!(launch("test_race", [1; 3], 32, most + 1, 3).contains("where a block may have 232448"));
    assert!(launch("test_sum", [1; 3], 32, most, 3).contains("128 bytes of static and 232448 of dynamic"));
    // A kernel of the trainer, with an argument that is none of its own.
    // SAFETY: it is refused.
    let wrong = why(unsafe { device.run(&[Launch::new(Kernel::ActivationForward, [1; 3], 32, &0_u64)]) });
    assert_eq!(wrong, "an argument of 40 bytes is expected, got 8");
    assert_eq!(device.launches(), 9);
}

#[test]
fn memory_is_nan_until_it_is_written_and_bounded() {
    let device = Shim::new(Limits { memory: 4096, ..Limits::orin() }, Order::Forward);
    let some = device.allocate(512).unwrap();
    assert!(read(&device, &some, 512).iter().all(|value| value.is_nan()));
    assert_eq!(device.address(&some).0 % 256, 0);
    let error = device.allocate(513).unwrap_err();
    assert!(matches!(error, DeviceError::Memory { needed: 2052, free: 2048, .. }), "{error:?}");
    let rest = device.allocate(512).unwrap();
    assert_eq!((device.used(), device.allocations()), (4096, 2));
    drop((some, rest));
    assert_eq!(device.used(), 0);
    let nothing = device.allocate(0).unwrap();
    assert_ne!(device.address(&nothing), Address::NONE);
}

#[test]
fn shared_memory_is_nan_before_each_block() {
    let device = shim(Order::Forward);
    let to = floats(&device, vec![0.0; 128]);
    device.launch("test_unwritten", [2, 1, 1], 32, 128, &numbers(&device, &to, &to, 0, 0)).unwrap();
    assert!(read(&device, &to, 128).iter().all(|value| value.is_nan()));
}

#[test]
fn threads_of_the_system_do_not_meet() {
    let work = |seed| {
        let device = shim(Order::Shuffled(seed));
        let to = floats(&device, [0.0]);
        for _ in 0..50 {
            device.launch("test_barriers", [3, 1, 1], 256, 0, &numbers(&device, &to, &to, 10, 0)).unwrap();
        }
        read(&device, &to, 1)[0]
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|seed| scope.spawn(move || work(seed))).collect();
        assert!(all.into_iter().all(|one| one.join().unwrap() == (50 * 3 * 256 * 10) as f32));
    });
}

/// Runs `test_overrun` as an environment variable has it, for the test below, in a process of its own that may end there.
#[test]
#[ignore = "called by what_leaves_its_memory_is_reported"]
fn overrun() {
    let choice = std::env::var("SINEW_OVERRUN").expect("which of `test_overrun`").parse().unwrap();
    let device = shim(Order::Forward);
    let to = floats(&device, vec![0.0; 8]);
    device.launch("test_overrun", [1; 3], 1, 32, &numbers(&device, &to, &to, 8, choice)).unwrap();
}

#[test]
#[cfg(sanitized)]
fn what_leaves_its_memory_is_reported() {
    for choice in 0..5 {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "overrun", "--ignored", "--nocapture"]).env("SINEW_OVERRUN", choice.to_string());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), choice == 0, "{choice}: {text}");
        match choice {
            0 => {}
            4 => assert!(text.contains("misaligned address"), "{text}"),
            _ => {
                assert!(text.contains("heap-buffer-overflow") && text.contains("test_overrun_body"), "{choice}: {text}")
            }
        }
    }
}

/// `cargo test -p sinew-tests --features shim --test shim -- --ignored --nocapture costs`
#[test]
#[ignore = "a measurement"]
fn costs() {
    let device = shim(Order::Forward);
    let to = floats(&device, vec![0.0; 256 * 1000]);
    let time = |name, blocks, count| {
        let begin = std::time::Instant::now();
        device.launch(name, [blocks, 1, 1], 256, 0, &numbers(&device, &to, &to, count, 0)).unwrap();
        begin.elapsed().as_secs_f64() * 1e9 / (256.0 * f64::from(blocks))
    };
    for _ in 0..3 {
        println!("a thread without barriers: {:.1} ns", time("test_place", 1000, 0));
        println!("a thread with 1 barrier: {:.1} ns", time("test_barriers", 1000, 1));
        println!("a barrier: {:.1} ns a thread", time("test_barriers", 10, 1000) / 1000.0);
        println!("a launch of one block of 256: {:.1} us", time("test_place", 1, 0) * 256.0 / 1000.0);
    }
}
