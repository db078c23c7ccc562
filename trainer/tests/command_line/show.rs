//! Pictures: which files, how large, what is on them, and that they follow from the seed.

use std::path::{Path, PathBuf};

use crate::fixture::{BUNDLE, folder, run, sinew, trained};

/// Width, height, and red, green and blue of each pixel.
fn pixels(path: &Path) -> ([u32; 2], Vec<[u8; 3]>) {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    ([info.width, info.height], pixels.as_chunks().0.to_vec())
}

/// The files that a command wrote, which it prints, one a line.
fn shown(arguments: &[&str], out: &Path) -> Vec<PathBuf> {
    let ended = crate::fixture::output(&[&["show"], arguments, &["--out", out.to_str().unwrap()]].concat());
    let files: Vec<PathBuf> = ended.stdout.lines().map(PathBuf::from).collect();
    let mut there: Vec<PathBuf> = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).collect();
    there.sort();
    let mut sorted = files.clone();
    sorted.sort();
    assert_eq!(sorted, there);
    files
}

fn names(files: &[PathBuf]) -> Vec<&str> {
    files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect()
}

const BLUE: [u8; 3] = [0, 114, 178];
const VERMILION: [u8; 3] = [213, 94, 0];

#[test]
fn a_bundle_is_shown_before_and_after_adapting() {
    let folder = folder("show-bundle");
    let bundle = trained().join(BUNDLE);
    let bundle = bundle.to_str().unwrap();
    let files = shown(&[bundle], &folder.join("one"));
    assert_eq!(names(&files), ["sinusoid.png", "sinusoid.svg"]);
    let ([width, height], with) = pixels(&files[0]);
    let count = |pixels: &[[u8; 3]], colour| pixels.iter().filter(|pixel| **pixel == colour).count();
    assert!(width > height && count(&with, BLUE) > 2000 && count(&with, VERMILION) > 2000);
    let svg = std::fs::read_to_string(&files[1]).unwrap();
    for word in ["before adapting", "after 1 step", "after 3 steps", "support", "Task 6: squared error"] {
        assert!(svg.contains(word), "{word}");
    }
    // The world alone has the same tasks and no predictions.
    let world = shown(&["sinusoid"], &folder.join("world"));
    let (size, without) = pixels(&world[0]);
    assert_eq!((size, count(&without, BLUE), count(&without, VERMILION)), ([width, height], 0, 0));
    // To the byte, and another seed other tasks.
    let again = shown(&[bundle], &folder.join("again"));
    let other = shown(&[bundle, "--seed", "1", "--shots", "2"], &folder.join("other"));
    let read = |files: &[PathBuf], number: usize| std::fs::read(&files[number]).unwrap();
    for number in 0..2 {
        assert!(read(&files, number) == read(&again, number) && read(&files, number) != read(&other, number));
    }
}

#[test]
fn terrain_is_shown_with_the_best_path() {
    let folder = folder("show-terrain");
    let files = shown(&["terrain", "--seed", "3"], &folder);
    assert_eq!(names(&files), ["terrain-map.png", "terrain-map.svg", "terrain-costs.png", "terrain-costs.svg"]);
    let (_, map) = pixels(&files[0]);
    assert!(map.iter().filter(|pixel| **pixel == [0; 3]).count() > 2000, "the best path is black");
    let svg = std::fs::read_to_string(&files[1]).unwrap();
    for word in ["the best path", "kJ", "gravel", "128 m"] {
        assert!(svg.contains(word), "{word}");
    }
    let (_, costs) = pixels(&files[2]);
    let mut colours = costs;
    colours.sort_unstable();
    colours.dedup();
    assert!(colours.len() > 60, "{}", colours.len());
}

#[test]
fn what_cannot_be_shown_is_refused() {
    let folder = folder("show-refused");
    let out = folder.join("out");
    let bundle = trained().join(BUNDLE);
    let bundle = bundle.to_str().unwrap();
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let terrain = configs.join("terrain.toml");
    let terrain = terrain.to_str().unwrap();
    // A build that makes recordings makes none of this world.
    let recording = if cfg!(feature = "rerun") { "a world of grasps or terrain" } else { "with the feature `rerun`" };
    for (arguments, words) in [
        (vec!["sinusoid", "--rerun", "one.rrd"], ["--rerun: expected", recording]),
        (vec!["moon"], ["moon: expected a bundle, or one of", "terrain-scale-only"]),
        (vec!["gone.safetensors"], ["gone.safetensors", "No such file"]),
        (vec![terrain], ["not a bundle", "terrain.toml"]),
        (vec![bundle, "--config", terrain], ["the world `terrain` has 10 inputs", "the bundle takes 1"]),
        (vec!["sinusoid", "--config", terrain], ["--config: expected the world sinusoid", "found terrain"]),
        (vec![bundle, "--config", "gone.toml"], ["gone.toml", "No such file"]),
    ] {
        let ended = sinew(&[&["show"], &arguments[..], &["--out", out.to_str().unwrap()]].concat());
        assert_eq!(ended.code, 1, "{arguments:?}");
        for word in words {
            assert!(ended.stderr.contains(word), "{arguments:?}: expected `{word}` in: {}", ended.stderr);
        }
        assert!(!out.exists(), "{arguments:?}");
    }
    std::fs::write(&out, "a file").unwrap();
    let ended = sinew(&["show", "sinusoid", "--out", out.to_str().unwrap()]);
    assert!(ended.code == 1 && ended.stderr.contains("out: "), "{}", ended.stderr);
    let words = run(&["show", "--help"]);
    assert!(words.contains("WORLD|BUNDLE") && words.contains("--shots"), "{words}");
}
