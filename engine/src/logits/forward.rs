//! Gemma 1, 2 and 3, layer by layer, over all prompts at once.

use ndarray::{Array1, Array2, Axis, s};

use super::attention;
use super::hyper::Hyper;
use super::weights::{Weights, blocks, need, vector};
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
    let mut x = pass.embed()?;
    for layer in 0..hyper.layers {
        let attended = pass.attend(layer, &x)?;
        x += &attended;
        let fed = pass.feed(layer, &x)?;
        x += &fed;
    }
    pass.norm("output_norm.weight", &x)
}

struct Pass<'a> {
    weights: &'a dyn Weights,
    hyper: &'a Hyper,
    prompts: &'a [Vec<usize>],
    run: &'a Run<'a>,
}

impl Pass<'_> {
    fn embed(&self) -> Result<Array2<f32>> {
        let (_, columns) = need(self.weights, "token_embd.weight")?;
        let ids: Vec<usize> = self.prompts.iter().flatten().copied().collect();
        let mut x = Array2::zeros((ids.len(), columns));
        for (mut row, id) in x.rows_mut().into_iter().zip(ids) {
            row.assign(&self.weights.rows("token_embd.weight", id, 1)?.row(0));
        }
        Ok(x * (columns as f32).sqrt())
    }

    fn attend(&self, layer: usize, x: &Array2<f32>) -> Result<Array2<f32>> {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let x = self.norm(&name("attn_norm"), x)?;
        let query = self.linear(&name("attn_q"), &x)?;
        let key = self.linear(&name("attn_k"), &x)?;
        let value = self.linear(&name("attn_v"), &x)?;
        let query = self.norm_heads(&name("attn_q_norm"), query)?;
        let key = self.norm_heads(&name("attn_k_norm"), key)?;
        let lengths = self.prompts.iter().map(Vec::len);
        let mixed = attention::mix(self.hyper, layer, lengths, query, key, &value);
        let out = self.linear(&name("attn_output"), &mixed)?;
        self.norm_if(&name("post_attention_norm"), out)
    }

    fn feed(&self, layer: usize, x: &Array2<f32>) -> Result<Array2<f32>> {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let x = self.norm(&name("ffn_norm"), x)?;
        let gate = self.linear(&name("ffn_gate"), &x)?.mapv_into(gelu);
        let up = self.linear(&name("ffn_up"), &x)?;
        let down = self.linear(&name("ffn_down"), &(gate * up))?;
        self.norm_if(&name("post_ffw_norm"), down)
    }

    /// x·Wᵀ, and the bias where there is one.
    fn linear(&self, name: &str, x: &Array2<f32>) -> Result<Array2<f32>> {
        let (rows, _) = need(self.weights, name)?;
        let mut out = Array2::zeros((x.nrows(), rows));
        blocks(self.weights, name, rows, self.run, |first, block| {
            out.slice_mut(s![.., first..first + block.nrows()]).assign(&x.dot(&block.t()));
        })?;
        match vector(self.weights, &name.replace(".weight", ".bias"))? {
            Some(bias) => Ok(out + bias),
            None => Ok(out),
        }
    }

    fn norm(&self, name: &str, x: &Array2<f32>) -> Result<Array2<f32>> {
        need(self.weights, name)?;
        self.norm_if(name, x.clone())
    }

    /// RMSNorm of every row, where the model has this norm.
    fn norm_if(&self, name: &str, mut x: Array2<f32>) -> Result<Array2<f32>> {
        if let Some(factors) = vector(self.weights, name)? {
            rms(&mut x, &factors, self.hyper.epsilon);
        }
        Ok(x)
    }

    /// RMSNorm of every head by itself.
    fn norm_heads(&self, name: &str, mut x: Array2<f32>) -> Result<Array2<f32>> {
        if let Some(factors) = vector(self.weights, name)? {
            for mut heads in x.axis_chunks_iter_mut(Axis(1), self.hyper.head_dim) {
                let mut own = heads.to_owned();
                rms(&mut own, &factors, self.hyper.epsilon);
                heads.assign(&own);
            }
        }
        Ok(x)
    }
}

fn rms(x: &mut Array2<f32>, factors: &Array1<f32>, epsilon: f32) {
    for mut row in x.rows_mut() {
        let mean = row.dot(&row) / row.len() as f32;
        row *= factors;
        row *= (mean + epsilon).sqrt().recip();
    }
}

/// The approximation by tanh, which Gemma was trained with.
fn gelu(x: f32) -> f32 {
    const ROOT: f32 = 0.797_884_6; // √(2/π)
    0.5 * x * (1.0 + (ROOT * (x + 0.044_715 * x * x * x)).tanh())
}
