//! A model layer by layer, over all prompts at once.

use ndarray::Array2;

use super::altup;
use super::attend::{Kept, attend};
use super::block::Block;
use super::feed::feed;
use super::hyper::Hyper;
use super::pass::Pass;
use super::per_layer::Inputs;
use super::weights::Weights;
use crate::Result;
use crate::pipeline::Run;

/// What the last norm makes of every token of every prompt: a row each, one prompt after the other.
pub(super) fn hidden(
    weights: &dyn Weights,
    hyper: &Hyper,
    prompts: &[Vec<usize>],
    run: &Run<'_>,
) -> Result<Array2<f32>> {
    let pass = Pass { weights, hyper, prompts, run };
    let x = pass.look_up("token_embd.weight", pass.ids())?;
    let width = x.ncols() as f32;
    let x = x * width.sqrt();
    let inputs = Inputs::new(&pass, &x)?;
    let x = match hyper.streams {
        Some(streams) => altup::layers(&pass, streams, x, inputs.as_ref())?,
        None => layers(&pass, x, inputs.as_ref())?,
    };
    pass.norm("output_norm.weight", &x)
}

fn layers(pass: &Pass<'_>, mut x: Array2<f32>, inputs: Option<&Inputs>) -> Result<Array2<f32>> {
    let mut kept = Kept::default();
    for number in 0..pass.hyper.layers.len() {
        let block = Block { pass, number };
        x += &attend(&block, &block.norm("attn_norm", &x)?, &mut kept)?;
        x += &feed(&block, &x)?;
        if let Some(inputs) = inputs {
            x += &inputs.mixed(&block, &x)?;
        }
        if let Some(scale) = block.vector("layer_output_scale", 1)? {
            x *= &scale;
        }
    }
    Ok(x)
}
