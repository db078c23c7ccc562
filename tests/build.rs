//! Compiles the CUDA kernels of the trainer for the CPU (`cuda/shim.h`), with feature `shim`; else nothing.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(sanitized)");
    #[cfg(feature = "shim")]
    shim::build();
}

#[cfg(feature = "shim")]
mod shim {
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    pub fn build() {
        let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
        let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
        let [kernels, own] = [root.join("../trainer/src/cuda"), root.join("cuda")];
        println!("cargo::rerun-if-env-changed=SINEW_SANITIZE");
        println!("cargo::rerun-if-changed={}", kernels.display());
        println!("cargo::rerun-if-changed={}", own.display());
        let sanitize = env::var("SINEW_SANITIZE").is_ok_and(|value| value == "1");

        let compiler = || {
            let mut build = cc::Build::new();
            build.cpp(true).std("c++17").opt_level(2).warnings(true).extra_warnings(true);
            build.flag("-ffp-contract=off").flag("-Wno-unknown-pragmas").include(&own).include(&kernels);
            // Without the instruction, `fmaf` is a function to call. No result depends on it.
            #[cfg(target_arch = "x86_64")]
            if env::var("TARGET") == env::var("HOST") && std::arch::is_x86_feature_detected!("fma") {
                build.flag("-mfma");
            }
            build
        };
        // One file for each `.cu`, in a nameless namespace of its own: they may share names. Kernels enter themselves into a list; that a
        // function of each is called is what makes a linker take them.
        let mut build = compiler();
        let (mut declared, mut called) = (String::new(), String::new());
        for file in [&kernels, &own].into_iter().flat_map(|folder| cu_files(folder)) {
            let stem = file.file_stem().expect("it has a name").to_str().expect("it is ASCII").to_owned();
            let text = format!(
                "#include \"shim.h\"\nnamespace {{\n#include \"{}\"\n}}\nextern \"C\" void sinew_shim_has_{stem}() {{}}\n",
                file.display()
            );
            let cpp = out.join(format!("{stem}.cpp"));
            fs::write(&cpp, text).expect("OUT_DIR can be written");
            build.file(cpp);
            declared += &format!("extern \"C\" void sinew_shim_has_{stem}();\n");
            called += &format!("    sinew_shim_has_{stem}();\n");
        }
        let all = out.join("sinew_shim_all.cpp");
        fs::write(&all, format!("{declared}extern \"C\" void sinew_shim_all() {{\n{called}}}\n"))
            .expect("OUT_DIR can be written");
        let mut fibers = compiler();
        fibers.file(own.join("fibers.cpp")).file(all);
        if sanitize {
            build.flag("-fsanitize=address,undefined").flag("-fno-sanitize-recover=undefined");
            build.flag("-fno-omit-frame-pointer").flag("-g");
            fibers.define("WATCHED", None);
            // rustc tells gcc to link no library of its own accord, so that `-fsanitize` would do nothing there. AddressSanitizer has to
            // come before all others; asked for by the name of a library, it comes before those of Rust itself.
            println!("cargo::rustc-cfg=sanitized");
            println!("cargo::rustc-link-lib=dylib=asan");
            println!("cargo::rustc-link-lib=dylib=ubsan");
        }
        // A linker looks from left to right: who is called comes behind.
        fibers.compile("sinew_fibers");
        build.compile("sinew_kernels");
    }

    fn cu_files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "cu"));
        files.sort();
        files
    }
}
