use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, GenericArgument, Ident, ImplItemFn, Lit, LitStr, Meta, PathArguments,
    Result, ReturnType, Signature, Token, Type, parenthesized,
};

const SHAPE: &str = "a method looks like `fn name(input: Input) -> Result<Output>`";

/// One method of a connector, as its author wrote it.
pub(crate) struct Method {
    pub(crate) name: Ident,
    pub(crate) description: String,
    pub(crate) input: Type,
    pub(crate) output: Type,
    options: Options,
}

/// What stands in `#[method(...)]`.
#[derive(Default)]
struct Options {
    idempotent: bool,
    scopes: Vec<LitStr>,
    sample: Option<Expr>,
}

impl Method {
    /// The method that a function is, if it has the attribute, which is taken off.
    pub(crate) fn take(function: &mut ImplItemFn) -> Result<Option<Self>> {
        let Some(index) = function.attrs.iter().position(|attribute| attribute.path().is_ident("method")) else {
            return Ok(None);
        };
        let attribute = function.attrs.remove(index);
        let options = options(&attribute)?;
        let (input, output) = check(&function.sig)?;
        let description = description(&function.attrs);
        Ok(Some(Self { name: function.sig.ident.clone(), description, input, output, options }))
    }

    /// Its entry in the manifest.
    pub(crate) fn entry(&self) -> TokenStream {
        let Self { description, input, output, options: Options { idempotent, scopes, sample }, .. } = self;
        let name = self.name.unraw().to_string();
        let method = quote! {
            ::headgate_sdk::rt::method::<#input, #output>(#name, #description, #idempotent, &[#(#scopes),*])
        };
        match sample {
            Some(sample) => quote!(::headgate_sdk::rt::sampled::<#output>(#method, #sample)),
            None => method,
        }
    }

    /// Its arm in the choice by name.
    pub(crate) fn arm(&self, connector: &Type) -> TokenStream {
        let Self { name: function, input, output, .. } = self;
        let name = function.unraw().to_string();
        quote!(#name => ::headgate_sdk::rt::perform::<#input, #output, _>(#name, input, <#connector>::#function),)
    }
}

fn options(attribute: &Attribute) -> Result<Options> {
    let mut options = Options::default();
    if matches!(attribute.meta, Meta::List(_)) {
        attribute.parse_nested_meta(|option| {
            if option.path.is_ident("idempotent") {
                options.idempotent = true;
                return Ok(());
            }
            if option.path.is_ident("scopes") {
                options.scopes = scopes(&option)?;
                return Ok(());
            }
            if option.path.is_ident("sample") {
                options.sample = Some(option.value()?.parse()?);
                return Ok(());
            }
            Err(option.error(
                "unknown option; there are `idempotent`, `scopes(\"one\", \"or this one\")` and `sample = a_function`",
            ))
        })?;
    }
    Ok(options)
}

/// The list of the option `scopes("one", "or this one")`.
pub(super) fn scopes(option: &ParseNestedMeta<'_>) -> Result<Vec<LitStr>> {
    let list;
    parenthesized!(list in option.input);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?.into_iter().collect())
}

fn check(signature: &Signature) -> Result<(Type, Type)> {
    if let Some(keyword) = &signature.asyncness {
        let message = "a method is not `async`: its requests wait by themselves; remove `async`";
        return Err(Error::new_spanned(keyword, message));
    }
    let mut inputs = signature.inputs.iter();
    let input = match (inputs.next(), inputs.next()) {
        (Some(FnArg::Typed(input)), None) => (*input.ty).clone(),
        (Some(FnArg::Receiver(receiver)), _) => {
            let message = format!("a method has no `self`, as each call gets a fresh instance; {SHAPE}");
            return Err(Error::new_spanned(receiver, message));
        }
        (None, _) => {
            let message = format!("a method takes its input, if only an empty struct; {SHAPE}");
            return Err(Error::new_spanned(&signature.ident, message));
        }
        (_, Some(second)) => {
            let message = format!("a method takes one argument, its input, which may be a struct; {SHAPE}");
            return Err(Error::new_spanned(second, message));
        }
    };
    Ok((input, output(signature)?))
}

/// The first argument of the `Result`. The client needs it by name.
fn output(signature: &Signature) -> Result<Type> {
    let ReturnType::Type(_, answer) = &signature.output else {
        return Err(Error::new_spanned(&signature.ident, format!("a method returns a `Result`; {SHAPE}")));
    };
    if let Type::Path(path) = &**answer
        && let Some(last) = path.path.segments.last()
        && last.ident == "Result"
        && let PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(GenericArgument::Type(output)) = arguments.args.first()
    {
        return Ok(output.clone());
    }
    Err(Error::new_spanned(answer, format!("a method returns a `Result<Output>`; {SHAPE}")))
}

/// The function's doc comment, its lines joined.
pub(super) fn description(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}
