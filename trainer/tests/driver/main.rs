//! `Driver` against a driver that is made for it (`fake.rs`), which has no functions but those that `Driver` says it needs, and does
//! everything as late as it may: order, waits, graphs, and every way to be refused. No GPU is needed; it says nothing of kernels.
//!
//! Each test below runs one of [`CASES`] in a process of its own, where that library is found as the driver.

#![cfg(all(feature = "cuda", target_os = "linux"))]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sinew_trainer::cuda::{Address, Chosen, Device, DeviceChoice, DeviceError, Driver, Kernel, Launch, driver};

/// The two libraries in a folder, built once; `None` where there is no rustc.
fn library(old: bool) -> Option<&'static Path> {
    static FOLDERS: [OnceLock<Option<PathBuf>>; 2] = [OnceLock::new(), OnceLock::new()];
    let build = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(if old { "driver-old" } else { "driver" });
        std::fs::create_dir_all(&folder).unwrap();
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(rustc);
        command.args(["--edition", "2024", "--crate-type", "cdylib", "--crate-name", "fake", "-Awarnings", "-o"]);
        command.arg(folder.join("libcuda.so.1")).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/driver/fake.rs"));
        let Ok(built) = command.args(if old { &["--cfg", "old"][..] } else { &[] }).output() else {
            eprintln!("skipped: there is no rustc");
            return None;
        };
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        std::fs::copy(folder.join("libcuda.so.1"), folder.join("libnvrtc.so.12")).unwrap();
        Some(folder)
    };
    FOLDERS[usize::from(old)].get_or_init(build).as_deref()
}

/// Runs a list.
fn run_on(driver: &Driver, launches: &[Launch]) -> Result<(), DeviceError> {
    // SAFETY: the memory of every launch here is there until the driver was waited for, and as long as the launch says.
    unsafe { driver.run(launches) }
}

/// What runs with the library in place.
const CASES: &[(&str, fn())] = &[
    ("order", order),
    ("graphs", graphs),
    ("refused", refused_capture),
    ("limits", limits),
    ("old", old_driver),
    ("none", no_device),
    ("weak", weak_card),
    ("broken", broken),
];

/// Runs a case in a process of its own.
fn run(case: &str, environment: &[(&str, &str)]) {
    let Some(folder) = library(case == "old") else { return };
    let cache = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "in_a_process", "--nocapture"])
        .env("LD_LIBRARY_PATH", folder)
        .env("SINEW_CACHE", cache.path());
    let ended =
        command.env_remove("SINEW_CUBINS").env("DRIVER_CASE", case).envs(environment.iter().copied()).output().unwrap();
    let words = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && words.contains("1 passed"), "{case}: {words}");
}

/// Does nothing unless [`run`] started the process.
#[test]
fn in_a_process() {
    let Ok(wanted) = std::env::var("DRIVER_CASE") else { return };
    let (_, case) = CASES.iter().find(|(name, _)| *name == wanted).unwrap();
    case();
}

#[test]
fn everything_is_done_in_its_order() {
    run("order", &[]);
}

#[test]
fn lists_that_come_again_are_replayed() {
    run("graphs", &[]);
}

#[test]
fn without_graphs_launches_go_one_by_one() {
    run("refused", &[("FAKE_CAPTURE", "begin")]);
    run("refused", &[("FAKE_CAPTURE", "instantiate")]);
}

#[test]
fn what_cannot_be_is_refused() {
    run("limits", &[]);
    run("old", &[]);
    run("none", &[("FAKE_DEVICES", "0")]);
    run("weak", &[("FAKE_MAJOR", "6")]);
    run("broken", &[("FAKE_BROKEN", "1")]);
}

/// A driver that lacks something is refused before it is called, so that what is used has to be known.
#[test]
fn the_library_has_what_is_asked_for_and_no_more() {
    let between = |text: &str, start: &str, end: char| -> Vec<String> {
        let names = text.split(start).skip(1).filter_map(|rest| rest.split_once(end));
        let mut names: Vec<String> = names.map(|(name, _)| format!("cu{name}")).collect();
        names.sort();
        names
    };
    let has = between(include_str!("fake.rs"), "    fn cu", '(');
    let asked = between(include_str!("../../src/cuda/driver/library.rs"), "    \"cu", '"');
    assert!(has == asked && has.len() > 40, "{has:?}\n{asked:?}");
}

#[test]
fn devices_are_listed() {
    let Some(folder) = library(false) else { return };
    let cache = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sinew"));
    command.arg("devices").env("LD_LIBRARY_PATH", folder).env("SINEW_CACHE", cache.path()).env("FAKE_DEVICES", "2");
    let ended = command.env_remove("SINEW_CUBINS").output().unwrap();
    let words = String::from_utf8_lossy(&ended.stdout);
    for word in ["cpu: ", "cuda:0", "cuda:1", "Fake GPU", "8.7", "NVRTC 12.6", "the driver is for CUDA 12.4"] {
        assert!(words.contains(word), "{word}: {words}");
    }
    assert!(ended.status.success() && !words.contains("cannot"), "{words}");
}

/// `to[i] = from[i] + more`, as every kernel of the library does.
fn launch(to: Address, from: Address, words: usize, more: u64) -> Launch {
    Launch::new(Kernel::Place, [1, 1, 1], 32, &[to.0, from.0, words as u64, more])
}

fn read(driver: &Driver, from: &driver::Memory, words: usize) -> Vec<u32> {
    let mut read = vec![0; words];
    driver.read(from, &mut read).unwrap();
    read
}

/// Writes that follow one another through more stages than there are, each read by a launch before the next.
fn order() {
    const WORDS: usize = 5000;
    let driver = Driver::open(0).unwrap();
    let mut from = driver.allocate(WORDS).unwrap();
    let outputs: Vec<_> = (0..40).map(|_| driver.allocate(WORDS).unwrap()).collect();
    for (number, to) in outputs.iter().enumerate() {
        let words: Vec<u32> = (0..WORDS as u32).map(|word| word * 7 + number as u32).collect();
        driver.write(&mut from, &words).unwrap();
        run_on(&driver, &[launch(driver.address(to), driver.address(&from), WORDS, 1)]).unwrap();
    }
    for (number, to) in outputs.iter().enumerate() {
        let expected: Vec<u32> = (0..WORDS as u32).map(|word| word * 7 + number as u32 + 1).collect();
        assert!(read(&driver, to, WORDS) == expected, "{number}");
    }
    // Of several sizes, to the front alone, and nothing at all.
    let mut parts = driver.allocate(20_000).unwrap();
    driver.write(&mut parts, &[7; 20_000]).unwrap();
    driver.write(&mut parts, &[8; 3]).unwrap();
    driver.write(&mut parts, &[]).unwrap();
    assert_eq!(read(&driver, &parts, 5), [8, 8, 8, 7, 7]);
    assert_eq!(read(&driver, &parts, 0), [0; 0]);
    // From another thread.
    std::thread::scope(|scope| scope.spawn(|| driver.write(&mut parts, &[9])).join()).unwrap().unwrap();
    assert_eq!(read(&driver, &parts, 2), [9, 8]);
    // What is under way when all is dropped is waited for.
    driver.write(&mut parts, &[1; 20_000]).unwrap();
}

/// Ten launches in a chain; whether run one by one or replayed, the sum is the same.
fn graphs() {
    let driver = Driver::open(0).unwrap();
    let mut start = driver.allocate(64).unwrap();
    let chain: Vec<_> = (0..10).map(|_| driver.allocate(64).unwrap()).collect();
    let list = |more: u64| -> Vec<Launch> {
        let addresses: Vec<_> =
            [driver.address(&start)].into_iter().chain(chain.iter().map(|of| driver.address(of))).collect();
        let mut list: Vec<_> = addresses.windows(2).map(|of| launch(of[1], of[0], 64, more)).collect();
        // One of no blocks is no launch.
        list.push(Launch { grid: [3, 0, 1], ..list[0].clone() });
        // More shared memory than goes without asking.
        list[2].shared = 100 << 10;
        list
    };
    let lists = [list(1), list(2)];
    for number in 0..6 {
        driver.write(&mut start, &[number; 64]).unwrap();
        for (list, more) in lists.iter().zip([1, 2]) {
            run_on(&driver, list).unwrap();
            assert_eq!(read(&driver, &chain[9], 64), [number + 10 * more; 64]);
        }
    }
    // The first time one by one.
    assert_eq!((driver.runs(), driver.without_graphs()), ([10, 2], None));
    // Short lists are none.
    (0..3).for_each(|_| run_on(&driver, &lists[0][..3]).unwrap());
    assert_eq!(driver.runs(), [10, 5]);
    // More lists than are kept.
    for more in 0..200 {
        let list: Vec<_> =
            (0..4).map(|_| launch(driver.address(&chain[0]), driver.address(&start), 64, more)).collect();
        (0..2).for_each(|_| run_on(&driver, &list).unwrap());
        assert_eq!(read(&driver, &chain[0], 1), [5 + more as u32]);
    }
    assert_eq!(driver.runs(), [210, 205]);
    run_on(&driver, &lists[0]).unwrap();
    assert_eq!((driver.runs(), read(&driver, &chain[9], 1)), ([210, 206], vec![15]));
}

fn refused_capture() {
    let driver = Driver::open(0).unwrap();
    let mut start = driver.allocate(8).unwrap();
    let end = driver.allocate(8).unwrap();
    let list: Vec<_> = (0..5).map(|more| launch(driver.address(&end), driver.address(&start), 8, more)).collect();
    for number in 0..4 {
        driver.write(&mut start, &[number; 8]).unwrap();
        run_on(&driver, &list).unwrap();
        assert_eq!(read(&driver, &end, 8), [number + 4; 8]);
    }
    assert_eq!(driver.runs(), [0, 4]);
    assert!(driver.without_graphs().is_some_and(|why| why.contains("recording")));
}

fn limits() {
    let driver = Driver::open(0).unwrap();
    let limits = driver.limits();
    assert_eq!((limits.name.as_str(), limits.architecture, limits.multiprocessors), ("Fake GPU", [8, 7], 8));
    assert_eq!((limits.shared_of_block, limits.memory, driver.version()), (163 << 10, 64 << 20, [12, 4]));
    match driver.allocate(1 << 30) {
        Err(DeviceError::Memory { needed, free, .. }) => assert_eq!((needed, free), (4 << 30, 1000)),
        other => panic!("{other:?}"),
    }
    assert!(driver.allocate(usize::MAX).is_err());
    let mut memory = driver.allocate(4).unwrap();
    assert!(
        driver.address(&memory).0.is_multiple_of(256) && driver.address(&driver.allocate(0).unwrap()) != Address::NONE
    );
    let says = |refused: Result<(), DeviceError>, words: &str| {
        let why = refused.unwrap_err().to_string();
        assert!(why.contains(words), "{why}");
    };
    says(driver.write(&mut memory, &[0; 5]), "expected at most 4 words, got 5");
    says(driver.read(&memory, &mut [0; 5]), "expected at most 4 words, got 5");
    let good = launch(driver.address(&memory), driver.address(&memory), 1, 0);
    says(run_on(&driver, &[Launch { threads: 2048, ..good.clone() }]), "2048 threads");
    says(run_on(&driver, &[Launch { shared: 200 << 10, ..good }]), "204800 bytes");
    match Driver::open(1) {
        Err(DeviceError::NoSuchDevice { number: 1, count: 1 }) => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(DeviceChoice::Auto.open(), Ok(Chosen::Cuda(_))));
    assert!(matches!(DeviceChoice::Cuda(3).open(), Err(DeviceError::NoSuchDevice { number: 3, .. })));
}

fn old_driver() {
    match Driver::open(0) {
        Err(DeviceError::OldDriver { got: [12, 4], symbol: "cuGraphInstantiateWithFlags", .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(DeviceChoice::Auto.open(), Ok(Chosen::Cpu { why: Some(DeviceError::OldDriver { .. }) })));
}

fn no_device() {
    assert!(matches!(Driver::open(0), Err(DeviceError::NoSuchDevice { number: 0, count: 0 })));
    assert!(matches!(DeviceChoice::Auto.open(), Ok(Chosen::Cpu { why: Some(DeviceError::NoSuchDevice { .. }) })));
}

fn weak_card() {
    assert!(matches!(Driver::open(0), Err(DeviceError::Architecture { got: [6, 7], .. })));
    assert_eq!(Driver::describe(0).unwrap().1, 1000);
}

fn broken() {
    assert!(matches!(Driver::open(0), Err(DeviceError::Driver { .. })));
}
