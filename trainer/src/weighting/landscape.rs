//! The landscape of two losses over the plane on which CAGrad, Nash-MTL and FAMO show what they do: Liu et al. (2021), appendix B; Navon et al. (2022),
//! appendix B; Liu et al. (2023), section 5.1.
