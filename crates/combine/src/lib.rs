//! The parser combinators under the name that str0m depends on: the crate `combine`, with another [`EasyParser`].

pub use stock::*;

/// Takes the place of the trait of the crate `combine`.
///
/// str0m parses a session description plainly. If that fails, it parses the description once more with `easy_parse`, for
/// an error with a detailed message. This would compile its whole parser a second time, for another type of input, into
/// 0.6 MB. Here, `easy_parse` parses plainly, too. It accepts the same, and the error has no details. The driver does
/// not use them: they quote what a server sent.
pub trait EasyParser<Input: Stream>: Parser<Input> {
    /// Parses the input. Returns what was parsed, and the rest of the input.
    ///
    /// # Errors
    ///
    /// The input is not what the parser expects. The error has no details.
    fn easy_parse(
        &mut self,
        input: Input,
    ) -> Result<(<Self as Parser<Input>>::Output, Input), <Input as StreamOnce>::Error>
    where
        Self: Sized,
    {
        self.parse(input)
    }
}

impl<Input: Stream, P: Parser<Input>> EasyParser<Input> for P {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stock::error::StreamError as _;
    use stock::parser::char::{crlf, newline, string};
    use stock::stream::StreamErrorFor;
    use stock::{
        ParseError, Parser, Stream, attempt, choice, eof, many, many1, optional, satisfy, sep_by1, token,
    };

    /// A parser in the way of str0m's: attributes, one a line, whose values have parts.
    fn attributes<Input>() -> impl Parser<Input, Output = Vec<Vec<String>>>
    where
        Input: Stream<Token = char>,
        Input::Error: ParseError<Input::Token, Input::Range, Input::Position>,
    {
        let end = || choice((crlf().map(|_| ()), newline().map(|_| ()), eof()));
        let word = || many1::<String, _, _>(satisfy(|c: char| !" \r\n".contains(c)));
        let number = word().and_then(|digits: String| {
            let number = digits.parse::<u8>();
            number.map(|number| number.to_string()).map_err(StreamErrorFor::<Input>::message_format)
        });
        let words = (string("a=ab:"), sep_by1(word(), token(' ')), end()).map(|(_, words, ())| words);
        let numbers = (string("a=abc:"), number, optional((token(' '), word())), end())
            .map(|(_, number, word, ())| [number].into_iter().chain(word.map(|(_, word)| word)).collect());
        let flag = (string("a="), word(), end()).map(|(_, flag, ())| vec![flag]);
        (many(choice((attempt(words), attempt(numbers), attempt(flag)))), eof()).map(|(all, ())| all)
    }

    proptest! {
        #[test]
        fn the_same_is_parsed_and_the_same_is_refused(input in "((a=|b)(ab|abc|c)?:?[0-9x]{0,4} ?x?\r?\n?){0,4}") {
            let easy = crate::EasyParser::easy_parse(&mut attributes(), &*input);
            let expected = stock::EasyParser::easy_parse(&mut attributes(), &*input);
            prop_assert_eq!(easy.ok(), expected.ok());
        }
    }

    #[test]
    fn attributes_can_be_parsed_and_refused() {
        let parse = |input| crate::EasyParser::easy_parse(&mut attributes(), input);
        let lines = [vec!["x", "y"], vec!["7", "x"], vec!["c"]];
        let expected = lines.map(|line| line.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(parse("a=ab:x y\r\na=abc:7 x\na=c"), Ok((expected.to_vec(), "")));
        assert!(parse("a=ab:x\nb").is_err());
    }
}
