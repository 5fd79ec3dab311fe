//! What a document says about an exchange, compiled once: templates and, later, conditions.

mod escape;
mod facts;
mod template;
mod variable;

pub use escape::{Escape, escape_line};
pub use template::Template;
pub use variable::Variable;

/// What is known about an exchange when a template is rendered.
pub trait Facts {
    /// Appends what `variable` stands for, as it is; appends nothing if it is absent.
    fn write(&self, variable: &Variable, out: &mut String);
}
