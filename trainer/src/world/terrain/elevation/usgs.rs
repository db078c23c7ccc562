//! ASCII elevation models of the USGS: *Standards for Digital Elevation Models*, National Mapping Program Technical Instructions, part
//! 2, specifications (1998), appendix 2-A, and the older files that agree with it in what is read here.
//!
//! The file is a row of records of 1024 bytes with numbers in columns, as Fortran writes them. Record A says units, the distance of
//! posts and the number of profiles. A profile begins with a record B: its place, how many posts it has, and as many heights as fit,
//! more of which go on in further records. Profiles run from south to north, one beside the other from west to east, and may begin and
//! end anywhere, so that the grid has posts without a height.

use std::path::Path;

use super::{Elevation, ElevationError};

const RECORD: usize = 1024;
/// Where heights begin in the first record of a profile.
const FIRST: usize = 144;
/// Bytes of a height.
const DIGITS: usize = 6;
/// Heights in the first record of a profile, and in each further one.
const FIT: [usize; 2] = [146, 170];
/// The height that stands for none.
const NONE: i64 = -32767;
/// Meters in a foot.
const FOOT: f64 = 0.3048;
/// Posts of a grid at most: more are a file that is broken.
const MOST: usize = 1 << 28;

/// A file, of which numbers are read by where they stand.
struct Fields<'a> {
    path: &'a Path,
    bytes: &'a [u8],
}

impl Fields<'_> {
    /// What stands in `len` bytes from `at`; `what` names it.
    fn text(&self, at: usize, len: usize, what: &str) -> Result<&str, ElevationError> {
        let bytes = self.bytes.get(at..at + len).and_then(|bytes| std::str::from_utf8(bytes).ok());
        bytes.map(str::trim).ok_or_else(|| {
            let found = if self.bytes.len() < at + len { "the end of the file" } else { "no text" };
            self.wrong(at, what, found)
        })
    }

    fn whole(&self, at: usize, what: &str) -> Result<i64, ElevationError> {
        let text = self.text(at, DIGITS, what)?;
        text.parse().map_err(|_| self.wrong(at, what, format!("`{text}`")))
    }

    /// A number in `len` bytes, whose exponent Fortran calls D.
    fn real(&self, at: usize, len: usize, what: &str) -> Result<f64, ElevationError> {
        let text = self.text(at, len, what)?;
        let number = text.replace(['D', 'd'], "E").parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| self.wrong(at, what, format!("`{text}`")))
    }

    fn wrong(&self, at: usize, expected: impl ToString, found: impl ToString) -> ElevationError {
        let place = format!("record {}, byte {}", at / RECORD + 1, at % RECORD + 1);
        ElevationError::content(self.path, place, expected, found)
    }
}

/// One profile: where its southernmost post is, and its heights from there to the north, in m.
struct Profile {
    x: f64,
    y: f64,
    heights: Vec<f32>,
}

/// The elevation model in `bytes`; `path` is only named in errors.
///
/// # Errors
/// Names the record and the byte of what is not as it should be.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Elevation, ElevationError> {
    let fields = Fields { path, bytes };
    let unit = match fields.whole(534, "the unit of heights")? {
        1 => FOOT,
        2 => 1.0,
        other => return Err(fields.wrong(534, "heights in feet (1) or meters (2)", other)),
    };
    let [across, along, step] = [816, 828, 840];
    let distance = |at, what| {
        let distance = fields.real(at, 12, what)?;
        if distance > 0.0 { Ok(distance) } else { Err(fields.wrong(at, format!("{what} above 0"), distance)) }
    };
    let [across, along] = [distance(across, "a distance of profiles")?, distance(along, "a distance of posts")?];
    let step = distance(step, "a step of heights")? * unit;
    let count = fields.whole(858, "a number of profiles")?;
    let count =
        usize::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| fields.wrong(858, "profiles", count))?;

    let mut at = RECORD;
    let mut profiles = Vec::new();
    for _ in 0..count {
        let (profile, next) = profile(&fields, at, step, unit)?;
        profiles.push(profile);
        at = next;
    }
    grid(&fields, &profiles, across, along)
}

/// The profile whose record B is at byte `at`, and the byte behind it.
fn profile(fields: &Fields<'_>, at: usize, step: f64, unit: f64) -> Result<(Profile, usize), ElevationError> {
    let posts = fields.whole(at + 12, "a number of posts")?;
    let posts = usize::try_from(posts)
        .ok()
        .filter(|posts| (1..MOST).contains(posts))
        .ok_or_else(|| fields.wrong(at + 12, "posts", posts))?;
    let columns = fields.whole(at + 18, "a number of columns")?;
    if columns != 1 {
        return Err(fields.wrong(at + 18, "a profile of one column", columns));
    }
    let [x, y] = [fields.real(at + 24, 24, "an easting")?, fields.real(at + 48, 24, "a northing")?];
    let datum = fields.real(at + 72, 24, "a local datum")? * unit;
    let mut heights = Vec::with_capacity(posts.min(fields.bytes.len() / DIGITS));
    let (mut record, mut place) = (at, at + FIRST);
    let mut left = FIT[0];
    for _ in 0..posts {
        if left == 0 {
            record += RECORD;
            (place, left) = (record, FIT[1]);
        }
        let height = fields.whole(place, "a height")?;
        heights.push(if height == NONE { f32::NAN } else { (datum + height as f64 * step) as f32 });
        place += DIGITS;
        left -= 1;
    }
    Ok((Profile { x, y, heights }, record + RECORD))
}

/// Puts profiles side by side.
fn grid(fields: &Fields<'_>, profiles: &[Profile], across: f64, along: f64) -> Result<Elevation, ElevationError> {
    let west = profiles.iter().map(|profile| profile.x).fold(f64::INFINITY, f64::min);
    let south = profiles.iter().map(|profile| profile.y).fold(f64::INFINITY, f64::min);
    let place = |profile: &Profile| {
        let column = ((profile.x - west) / across).round() as usize;
        (column, ((profile.y - south) / along).round() as usize)
    };
    let width = profiles.iter().map(|profile| place(profile).0.saturating_add(1)).max().unwrap_or(0);
    let height =
        profiles.iter().map(|profile| place(profile).1.saturating_add(profile.heights.len())).max().unwrap_or(0);
    if width.checked_mul(height).is_none_or(|posts| posts > MOST) {
        return Err(fields.wrong(RECORD, format!("at most {MOST} posts"), format!("{height} rows of {width}")));
    }
    let mut heights = vec![f32::NAN; width * height];
    for profile in profiles {
        let (column, row) = place(profile);
        for (up, known) in profile.heights.iter().enumerate() {
            heights[(height - 1 - row - up) * width + column] = *known;
        }
    }
    Ok(Elevation { width, height, heights })
}
