use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Ident, LitStr, Path, Result, Stmt, Token, Type, parenthesized, parse_quote, token};

const OPTIONS: &str = "there are `schema` and `slots(crm: hubspot::Client(get_contact), other: \"connector\")`";

/// What stands in `#[flow(...)]`.
#[derive(Default)]
pub(super) struct Declaration {
    schema: bool,
    slots: Option<Vec<Slot>>,
}

/// A slot: its name, and what is wanted there.
struct Slot {
    name: LitStr,
    connector: Connector,
    methods: Vec<Ident>,
}

enum Connector {
    /// A connector's `Client`.
    Typed(Path),
    /// A connector by its name.
    Named(LitStr),
}

impl Parse for Declaration {
    fn parse(input: ParseStream) -> Result<Self> {
        let mut declaration = Self::default();
        while !input.is_empty() {
            let option: Ident = input.parse().map_err(|error| Error::new(error.span(), OPTIONS))?;
            let twice = || Error::new(option.span(), format!("`{option}` stands here twice"));
            if option == "schema" {
                if std::mem::replace(&mut declaration.schema, true) {
                    return Err(twice());
                }
            } else if option == "slots" {
                if declaration.slots.is_some() {
                    return Err(twice());
                }
                declaration.slots = Some(slots(input)?);
            } else {
                return Err(Error::new(option.span(), format!("unknown option; {OPTIONS}")));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(declaration)
    }
}

fn slots(input: ParseStream) -> Result<Vec<Slot>> {
    let list;
    parenthesized!(list in input);
    let slots: Vec<Slot> = Punctuated::<Slot, Token![,]>::parse_terminated(&list)?.into_iter().collect();
    for (index, slot) in slots.iter().enumerate() {
        if slots[..index].iter().any(|other| other.name.value() == slot.name.value()) {
            return Err(Error::new(slot.name.span(), "this slot stands here twice"));
        }
    }
    Ok(slots)
}

impl Parse for Slot {
    fn parse(input: ParseStream) -> Result<Self> {
        let name = if input.peek(LitStr) {
            input.parse::<LitStr>()?
        } else {
            let name: Ident = input.parse()?;
            LitStr::new(&name.to_string(), name.span())
        };
        check_name(&name)?;
        input.parse::<Token![:]>()?;
        let connector = if input.peek(LitStr) {
            Connector::Named(input.parse()?)
        } else {
            Connector::Typed(input.call(Path::parse_mod_style).map_err(|error| {
                let message = "a slot names a connector's client, such as `hubspot::Client(get_contact)`, or a connector: `\"hubspot\"`";
                Error::new(error.span(), message)
            })?)
        };
        let mut methods = Vec::new();
        if input.peek(token::Paren) {
            let list;
            parenthesized!(list in input);
            methods = Punctuated::<Ident, Token![,]>::parse_terminated(&list)?.into_iter().collect();
        }
        Ok(Self { name, connector, methods })
    }
}

/// The server's rule for names of slots.
fn check_name(name: &LitStr) -> Result<()> {
    let text = name.value();
    let is_good = text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.ends_with('-');
    if is_good {
        return Ok(());
    }
    let message = "a slot's name has up to 63 lower-case letters, digits and hyphens, and begins with a letter; one with hyphens is a text: `\"sales-crm\": ...`";
    Err(Error::new(name.span(), message))
}

impl Declaration {
    /// What the flow's function begins with outside of a component: its mock refuses other slots, as the server does.
    pub(super) fn statement(&self) -> Option<Stmt> {
        let names = self.slots.as_ref()?.iter().map(|slot| &slot.name);
        Some(parse_quote! {
            #[cfg(not(target_arch = "wasm32"))]
            let _declared = ::headgate_sdk::rt::declare(&[#(#names),*]);
        })
    }

    /// The function that describes the flow; nothing where there is nothing to say.
    pub(super) fn describe(&self, event: &Type, answer: &Type) -> TokenStream {
        if !self.schema && self.slots.is_none() {
            return TokenStream::new();
        }
        let (event, answer) = if self.schema {
            (
                quote_spanned!(event.span()=> <#event as ::headgate_sdk::rt::DescribedEvent>::schema()),
                quote_spanned!(answer.span()=> <#answer as ::headgate_sdk::rt::DescribedResult>::schema()),
            )
        } else {
            let none = quote!(::core::option::Option::None);
            (none.clone(), none)
        };
        let slots = match &self.slots {
            Some(slots) => {
                let slots = slots.iter().map(Slot::expand);
                quote!(::core::option::Option::Some(::std::vec![#(#slots),*]))
            }
            None => quote!(::core::option::Option::None),
        };
        quote! {
            fn describe() -> ::std::string::String {
                ::headgate_sdk::rt::describe(#event, #answer, #slots)
            }
        }
    }
}

impl Slot {
    fn expand(&self) -> TokenStream {
        let Self { name, connector, methods } = self;
        let texts = methods.iter().map(|method| LitStr::new(&text(method), method.span()));
        match connector {
            Connector::Named(connector) => {
                quote!(::headgate_sdk::rt::untyped_slot(#name, #connector, &[#(#texts),*]))
            }
            Connector::Typed(client) => {
                // Each where it stands, so that a method that does not exist is told there.
                let methods = methods.iter().zip(texts).map(
                    |(method, text)| quote_spanned!(method.span()=> ::headgate_sdk::rt::method_use(#text, <#client>::#method)),
                );
                quote_spanned!(span_of(client)=> ::headgate_sdk::rt::slot::<#client>(#name, ::std::vec![#(#methods),*]))
            }
        }
    }
}

/// A method's name, also where it is a word of the language.
fn text(method: &Ident) -> String {
    let text = method.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

fn span_of(client: &Path) -> Span {
    client.segments.last().map_or_else(Span::call_site, |last| last.ident.span())
}
