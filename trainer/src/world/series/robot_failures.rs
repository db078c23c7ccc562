//! UCI's Robot Execution Failures: forces and torques at a gripper after something went wrong (Lopes and Camarinha-Matos 1998).
//!
//! A line with the class, then a line for each sample with three forces and three torques, then blank lines.

use std::path::Path;

use super::SeriesError;
use super::recordings::Contents;

/// Forces and torques, in the order of the file.
const CHANNELS: [&str; 6] = ["Fx", "Fy", "Fz", "Tx", "Ty", "Tz"];

/// Reads the text of `file`, whose stem is the problem's name. All series must be as long as the first.
pub fn parse(file: &Path, text: &str) -> Result<Contents, SeriesError> {
    let mut series: Vec<(String, Vec<f32>)> = Vec::new();
    let wrong = |line, expected: String, found: String| SeriesError::Line { file: file.into(), line, expected, found };
    let mut open = false;
    // The line after the last ends a series, too.
    let lines = text.lines().chain([""]).enumerate().map(|(place, line)| (place + 1, line.trim()));
    for (line, words) in lines {
        if words.is_empty() {
            if let (true, Some((_, last))) = (open, series.last()) {
                let (samples, expected) = (last.len(), series[0].1.len());
                if samples != expected || samples == 0 {
                    let expected = format!("{} samples before the blank line", (expected / CHANNELS.len()).max(1));
                    return Err(wrong(line, expected, (samples / CHANNELS.len()).to_string()));
                }
            }
            open = false;
        } else if !open {
            if words.split_whitespace().count() != 1 || words.parse::<f32>().is_ok() {
                return Err(wrong(line, "a class, which is one word".into(), words.chars().take(60).collect()));
            }
            series.push((words.into(), Vec::new()));
            open = true;
        } else if let Some((_, values)) = series.last_mut() {
            let row: Vec<f32> = words.split_whitespace().map_while(|word| word.parse().ok()).collect();
            let whole = words.split_whitespace().count() == CHANNELS.len() && row.len() == CHANNELS.len();
            if !whole || row.iter().any(|value| !value.is_finite()) {
                return Err(wrong(line, "six numbers".into(), words.chars().take(60).collect()));
            }
            values.extend(row);
        }
    }
    let problem = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let samples = series.first().map_or(0, |(_, values)| values.len() / CHANNELS.len());
    Ok(Contents { problem, channels: CHANNELS.map(String::from).to_vec(), samples, series })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: &str =
        "normal\r\n\t-1\t-1\t63\t-3\t-1\t0\r\n\t0\t0\t62\t-3\t-1\t0\r\n\r\n\r\ncollision\n1 2 3 4 5 6\n7 8 9 10 11 12";

    fn parsed(text: &str) -> Result<Contents, String> {
        parse(Path::new("lp9.data"), text).map_err(|why| why.to_string())
    }

    #[test]
    fn samples_are_lines() {
        let contents = parsed(SMALL).unwrap();
        assert_eq!((contents.problem.as_str(), contents.samples, contents.channels[5].as_str()), ("lp9", 2, "Tz"));
        assert_eq!(contents.series[0].1[..6], [-1.0, -1.0, 63.0, -3.0, -1.0, 0.0]);
        assert_eq!((contents.series[1].0.as_str(), contents.series[1].1[11]), ("collision", 12.0));
        assert_eq!(parsed("").unwrap().series.len(), 0);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (from, to, words) in [
            ("3 4 5 6", "3 4 5", "line 7: expected six numbers, found 1 2 3 4 5"),
            ("3 4 5 6", "3 4 5 x", "expected six numbers"),
            ("3 4 5 6", "3 4 5 inf", "expected six numbers"),
            ("\n7 8 9 10 11 12", "", "line 8: expected 2 samples before the blank line, found 1"),
            ("collision\n", "", "line 6: expected a class"),
            ("collision", "two words", "line 6: expected a class"),
            ("\r\n\r\n\r\n", "\r\n", "line 4: expected six numbers, found collision"),
        ] {
            let why = parsed(&SMALL.replacen(from, to, 1)).unwrap_err();
            assert!(why.contains(words) && why.contains("lp9.data"), "{to}: {why}");
        }
        assert!(parsed("normal\n\n").unwrap_err().contains("expected 1 samples"));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "([a-z]{1,3}|[0-9 \\-]{1,12}|\\n){0,40}") {
            if let Ok(contents) = parsed(&text) {
                prop_assert!(contents.series.iter().all(|(_, values)| values.len() == contents.samples * 6));
            }
        }
    }
}
