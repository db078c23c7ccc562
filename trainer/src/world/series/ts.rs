//! `.ts`, the text format of the UEA archive of multivariate series and of aeon.
//!
//! Lines that begin with `#` say what they like, lines that begin with `@` are the header, and below `@data` every line is one series:
//! its channels one after the other, `:` between them and `,` between values, then `:` and the class.

use std::path::Path;

use super::SeriesError;
use super::recordings::Contents;

/// What the header says.
#[derive(Default)]
struct Header {
    problem: Option<String>,
    dimensions: Option<usize>,
    samples: Option<usize>,
    labels: Vec<String>,
}

/// Reads the text of `file`, which is only named in errors. Series must be of equal length, without timestamps, and whole.
pub fn parse(file: &Path, text: &str) -> Result<Contents, SeriesError> {
    let mut header = Header::default();
    let mut lines = text.lines().enumerate().map(|(place, line)| (place + 1, line.trim()));
    let mut in_data = false;
    for (line, words) in lines.by_ref().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let wrong = |expected: &str, found: &str| error(file, line, expected, found);
        let Some((key, value)) =
            words.strip_prefix('@').map(|words| words.split_once(char::is_whitespace).unwrap_or((words, "")))
        else {
            return Err(wrong("a line of the header, which begins with `@`", words));
        };
        if key.eq_ignore_ascii_case("data") {
            in_data = true;
            break;
        }
        header.take(key, value.trim()).map_err(|expected| wrong(expected, value.trim()))?;
    }
    if !in_data {
        return Err(error(file, text.lines().count(), "@data", "the end"));
    }
    let Some(problem) = header.problem.take().filter(|name| !name.is_empty()) else {
        return Err(error(file, 1, "@problemName with a name", "none"));
    };
    let mut series = Vec::new();
    for (line, words) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        series.push(header.series(words).map_err(|(expected, found)| error(file, line, &expected, &found))?);
    }
    let channels = (0..header.dimensions.unwrap_or(0)).map(|channel| format!("channel_{channel}")).collect();
    Ok(Contents { problem, channels, samples: header.samples.unwrap_or(0), series })
}

impl Header {
    /// Takes one line of the header; what would have been right, if it is wrong. Other keys only describe.
    fn take(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        let number = || value.parse().ok().filter(|number| *number > 0).ok_or("a whole number above 0");
        let truth = || match value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("`true` or `false`"),
        };
        match key.to_ascii_lowercase().as_str() {
            "problemname" => self.problem = Some(value.into()),
            "univariate" if truth()? => self.dimensions = Some(1),
            "dimensions" | "dimension" => self.dimensions = Some(number()?),
            "serieslength" => self.samples = Some(number()?),
            "timestamps" if truth()? => return Err("`false`: series without timestamps"),
            "missing" if truth()? => return Err("`false`: series without missing values"),
            "equallength" if !truth()? => return Err("`true`: series of equal length"),
            "classlabel" => {
                let mut words = value.split_whitespace();
                if !words.next().is_some_and(|word| word.eq_ignore_ascii_case("true")) {
                    return Err("`true` and the classes");
                }
                self.labels = words.map(String::from).collect();
                if self.labels.len() < 2 {
                    return Err("two classes at least");
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// One series: its class and its values, `[samples, channels]`; or what was expected and found. The first one settles what the header
    /// leaves open.
    fn series(&mut self, words: &str) -> Result<(String, Vec<f32>), (String, String)> {
        let parts: Vec<&str> = words.split(':').collect();
        let Some((label, channels)) = parts.split_last() else {
            return Err(("a series".into(), "nothing".into()));
        };
        let label = label.trim();
        if !self.labels.iter().any(|known| known == label) {
            return Err((format!("one of the classes {} at the end", self.labels.join(", ")), format!("`{label}`")));
        }
        let dimensions = *self.dimensions.get_or_insert(channels.len());
        if channels.len() != dimensions || dimensions == 0 {
            return Err((format!("{} channels", dimensions.max(1)), channels.len().to_string()));
        }
        let mut values = Vec::new();
        for (channel, text) in channels.iter().enumerate() {
            let numbers: Vec<&str> = text.split(',').map(str::trim).collect();
            let samples = *self.samples.get_or_insert(numbers.len());
            if numbers.len() != samples {
                let found = format!("{} in channel {channel}", numbers.len());
                return Err((format!("{samples} values in each channel"), found));
            }
            values.resize(samples * dimensions, 0.0);
            for (sample, text) in numbers.iter().enumerate() {
                let number = text.parse().ok().filter(|number: &f32| number.is_finite());
                let wrong = || ("finite numbers".into(), format!("`{text}` in channel {channel}, value {sample}"));
                values[sample * dimensions + channel] = number.ok_or_else(wrong)?;
            }
        }
        Ok((label.into(), values))
    }
}

fn error(file: &Path, line: usize, expected: &str, found: &str) -> SeriesError {
    let found = if found.is_empty() { "nothing".into() } else { found.chars().take(60).collect() };
    SeriesError::Line { file: file.into(), line, expected: expected.into(), found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: &str = "# a watch\n@problemName Small\n@timeStamps false\n@missing false\n@univariate false\n@dimensions 2\n\
        @equalLength true\n@seriesLength 3\n@classLabel true Up Down\n@data\n1,2,3:4,5,6:Up\n\n-1,-2,-3:0,0,1e-1:Down\n";

    fn parsed(text: &str) -> Result<Contents, String> {
        parse(Path::new("small.ts"), text).map_err(|why| why.to_string())
    }

    #[test]
    fn channels_become_values_of_a_sample() {
        let contents = parsed(SMALL).unwrap();
        assert_eq!((contents.problem.as_str(), contents.samples), ("Small", 3));
        assert_eq!(contents.channels, ["channel_0", "channel_1"]);
        assert_eq!(contents.series[0], ("Up".into(), vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        assert_eq!(contents.series[1].1[5], 0.1);
    }

    #[test]
    fn what_the_header_leaves_open_the_first_series_settles() {
        let text = SMALL.replace("@dimensions 2\n", "").replace("@seriesLength 3\n", "");
        assert_eq!(parsed(&text), parsed(SMALL));
        let text = SMALL
            .replace("@univariate false\n@dimensions 2", "@univariate true")
            .replace(":4,5,6", "")
            .replace(":0,0,1e-1", "");
        assert_eq!(parsed(&text).unwrap().series[0].1, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (from, to, words) in [
            ("4,5,6", "4,?,6", "line 11: expected finite numbers, found `?` in channel 1, value 1"),
            ("4,5,6", "4,nan,6", "found `nan`"),
            ("4,5,6", "4,5", "line 11: expected 3 values in each channel, found 2 in channel 1"),
            (":4,5,6", "", "expected 2 channels, found 1"),
            (":Down", ":Left", "line 13: expected one of the classes Up, Down at the end, found `Left`"),
            ("@missing false", "@missing true", "line 4: expected `false`"),
            ("@timeStamps false", "@timeStamps maybe", "expected `true` or `false`, found maybe"),
            ("@equalLength true", "@equalLength false", "equal length"),
            ("@classLabel true Up Down", "@classLabel false", "`true` and the classes"),
            ("@dimensions 2", "@dimensions -2", "a whole number above 0, found -2"),
            ("@problemName Small", "@problemName", "@problemName"),
            ("@problemName Small", "problemName Small", "line 2: expected a line of the header"),
            ("@data", "@date", "which begins with `@`"),
        ] {
            let why = parsed(&SMALL.replacen(from, to, 1)).unwrap_err();
            assert!(why.contains(words) && why.contains("small.ts"), "{to}: {why}");
        }
        assert!(parsed("").unwrap_err().contains("@data"));
    }

    proptest! {
        #[test]
        fn nothing_panics(at in 0..SMALL.len(), length in 0_usize..12, with in "[0-9a-z@:,?.#\\n \\-]{0,8}") {
            let (before, after) = (&SMALL[..at], &SMALL[(at + length).min(SMALL.len())..]);
            if let Ok(contents) = parsed(&format!("{before}{with}{after}")) {
                let row = contents.samples * contents.channels.len();
                prop_assert!(contents.series.iter().all(|(_, values)| values.len() == row));
            }
        }
    }
}
