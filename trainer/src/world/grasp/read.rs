//! Meshes from files: Wavefront OBJ and STL, in metres.

use std::path::{Path, PathBuf};

use mesh_loader::Loader;
use parry3d_f64::math::Vector;

use super::mesh::{Mesh, MeshError};

/// No object on the table is larger, in m: a file in millimetres is refused, not grasped.
const LARGEST: f64 = 1.0;

/// Why objects cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The folder or a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing in the folder.
    #[error("{}: expected a file or a folder with .obj or .stl files, found none", path.display())]
    NoMeshes {
        /// The folder.
        path: PathBuf,
    },
    /// What a file holds is no body.
    #[error("{}: {source}", path.display())]
    Mesh {
        /// The file.
        path: PathBuf,
        /// Why.
        source: MeshError,
    },
    /// It is too large for an object in metres.
    #[error("{}: expected a body of at most {LARGEST} m, found one of {found:.3} m; lengths are metres", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its longest side.
        found: f64,
    },
}

/// The mesh files at `path`: the file itself, or those of the folder, by name.
///
/// # Errors
/// If there are none, or the folder cannot be read.
pub fn mesh_files(path: &Path) -> Result<Vec<PathBuf>, ReadError> {
    if path.is_file() {
        return Ok(vec![path.into()]);
    }
    let io = |source| ReadError::Io { path: path.into(), source };
    let entries: Result<Vec<_>, _> = std::fs::read_dir(path).map_err(io)?.collect();
    let wanted = |file: &PathBuf| {
        let extension = file.extension().map(|extension| extension.to_ascii_lowercase());
        extension.is_some_and(|extension| extension == "obj" || extension == "stl")
    };
    let mut files: Vec<PathBuf> = entries.map_err(io)?.into_iter().map(|entry| entry.path()).filter(wanted).collect();
    files.sort();
    if files.is_empty() {
        return Err(ReadError::NoMeshes { path: path.into() });
    }
    Ok(files)
}

/// Reads a mesh; several bodies in one file are parts of one object.
///
/// # Errors
/// If it cannot be read, or is no body of at most a metre.
pub fn read_mesh(path: &Path) -> Result<Mesh, ReadError> {
    let io = |source| ReadError::Io { path: path.into(), source };
    let bytes = std::fs::read(path).map_err(io)?;
    // Materials are of no use here, and may be missing.
    let none = |_: &Path| Ok(Vec::new());
    let loader: Loader = Loader::default();
    let scene = loader.load_from_slice_with_reader(&bytes, path, none).map_err(io)?;
    let (mut vertices, mut triangles) = (Vec::new(), Vec::new());
    let mut ends = Vec::new();
    for mesh in scene.meshes {
        let offset = vertices.len() as u32;
        vertices.extend(mesh.vertices.iter().map(|vertex| Vector::from_array(vertex.map(f64::from))));
        // An index that overflows names no vertex, and is refused as such.
        triangles.extend(mesh.faces.iter().map(|face| face.map(|corner| corner.saturating_add(offset))));
        ends.push(triangles.len());
    }
    let mesh =
        Mesh::of_parts(&vertices, &triangles, &ends).map_err(|source| ReadError::Mesh { path: path.into(), source })?;
    let [low, high] = mesh.bounds();
    let found = (high - low).max_element();
    if found > LARGEST { Err(ReadError::TooLarge { path: path.into(), found }) } else { Ok(mesh) }
}
