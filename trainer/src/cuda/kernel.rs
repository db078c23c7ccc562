//! Which kernels there are, and where their text is.

/// What a `.cu` may include: NVRTC gets it in place of the line.
const HEADERS: [(&str, &str); 3] = [
    ("#include \"sinew.cuh\"\n", include_str!("sinew.cuh")),
    ("#include \"tile.cuh\"\n", include_str!("tile.cuh")),
    ("#include \"window.cuh\"\n", include_str!("window.cuh")),
];

macro_rules! sources {
    ($($(#[doc = $about:literal])+ $source:ident, $file:literal, [$($kernel:ident $name:literal),+ $(,)?];)+) => {
        /// A `.cu` file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Source {
            $($(#[doc = $about])+ $source,)+
        }

        impl Source {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$source,)+];

            /// Its name in `trainer/src/cuda`.
            pub const fn file(self) -> &'static str {
                match self {
                    $(Self::$source => $file,)+
                }
            }

            /// Its text as it stands.
            const fn own(self) -> &'static str {
                match self {
                    $(Self::$source => include_str!($file),)+
                }
            }

            /// Its kernels.
            pub const fn kernels(self) -> &'static [Kernel] {
                match self {
                    $(Self::$source => &[$(Kernel::$kernel,)+],)+
                }
            }
        }

        /// A kernel.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kernel {
            $($(
                #[doc = concat!("`", $name, "` of `", $file, "`.")]
                $kernel,
            )+)+
        }

        impl Kernel {
            /// Its name in the file.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Self::$kernel => $name,)+)+
                }
            }

            /// The file.
            pub const fn source(self) -> Source {
                match self {
                    $($(Self::$kernel => Source::$source,)+)+
                }
            }
        }
    };
}

sources! {
    /// Activations, their slopes, and the derivatives of both.
    Activation, "activation.cu", [ActivationForward "activation_forward", ActivationBackward "activation_backward"];
    /// Values put elsewhere.
    Arrange, "arrange.cu", [
        Place "place", Transpose "transpose", Context "context", ContextGradient "context_gradient",
    ];
    /// Convolutions and dense layers.
    Convolve, "convolve.cu", [
        ConvolveForward "convolve_forward", ConvolveInputs "convolve_inputs", ConvolveWeights "convolve_weights",
    ];
    /// Convolutions of each channel alone.
    Depthwise, "depthwise.cu", [
        DepthwiseForward "depthwise_forward", DepthwiseInputs "depthwise_inputs", DepthwiseWeights "depthwise_weights",
    ];
    /// Pooling.
    Pool, "pool.cu", [
        MaxForward "max_forward", MaxTangent "max_tangent", MaxBackward "max_backward",
        AverageForward "average_forward", AverageBackward "average_backward",
    ];
    /// Layer normalisation.
    Norm, "norm.cu", [
        NormStatistics "norm_statistics", NormForward "norm_forward", NormSums "norm_sums",
        NormInputs "norm_inputs", NormWeights "norm_weights",
    ];
    /// Mixtures of experts.
    Mixture, "mixture.cu", [MixtureForward "mixture_forward", MixtureInputs "mixture_inputs"];
    /// Losses.
    Loss, "loss.cu", [LossGradient "loss_gradient", LossTangent "loss_tangent"];
    /// The inner loop's steps, and the adjoint's.
    Adapt, "adapt.cu", [Step "step", Rates "rates"];
    /// Sums over tasks.
    Reduce, "reduce.cu", [Parts "parts", Mean "mean"];
    /// AdamW.
    Adam, "adam.cu", [Squares "squares", AdamStep "adam_step"];
    /// The whole inner loop of a task of a dense network, and the way back through it, in one block.
    Dense, "dense.cu", [DenseShared "dense_shared", DenseGlobal "dense_global"];
}

impl Source {
    /// Its whole text, for a compiler.
    pub fn text(self) -> String {
        HEADERS.iter().fold(self.own().to_owned(), |text, (line, header)| text.replace(line, header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_is_in_its_file_once() {
        for source in Source::ALL {
            let text = source.text();
            assert!(text.starts_with(HEADERS[0].1) && !text.contains("#include"), "{}", source.file());
            for kernel in source.kernels() {
                assert_eq!(kernel.source(), *source);
                let head = format!("KERNEL({},", kernel.name());
                assert_eq!(text.matches(&head).count(), 1, "{head} in {}", source.file());
            }
            assert_eq!(source.own().matches("KERNEL(").count(), source.kernels().len(), "{}", source.file());
        }
    }
}
