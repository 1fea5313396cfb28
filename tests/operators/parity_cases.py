"""What the native operators and Data-Juicer's are compared on: tricky texts, rows with fields, and parameters.

Read by the tests and by ``scripts/record_data_juicer.py``; plain data, no imports beyond the standard library.
"""

from __future__ import annotations

import random

BLANKS = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x84\x85\xa0\u1680\u180e"
BLANKS += "\u2000\u2007\u200a\u200b\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff\ufffc"

_HAND = [
    "",
    " ",
    "\n",
    "\t \n \r\n",
    "a",
    "é",
    "日",
    "😀",
    "👩‍👩‍👧‍👦 family, 🇩🇪 flag, 👍🏽 thumb",
    "plain ascii text without anything special at all",
    "  leading and trailing  ",
    "\u3000\u2003wide blanks\u00a0inside\u200band around\u3000\n",
    "\u200bzero width at both ends\u200b",
    "tab\tseparated\tvalues\n1\t2\t3\n",
    "one\r\ntwo\r\nthree\r\n",
    "one\rtwo\r\rthree\n\r\nfour",
    "form\ffeed vertical\vtab file\x1cgroup\x1drecord\x1eunit\x1f next\x85line para\u2028line\u2029end",
    "no newline at the end\nlast line is the longest one of them all",
    "trailing newlines\n\n\n",
    *[f"{blank}both{blank}ends{blank}" for blank in BLANKS],
    BLANKS,
    "x".join(BLANKS),
    "don't stop-me now (really) -- 'quoted' 12 3a ... !!! a_b c/d",
    "... --- !!! ??? 123 456",
    "½ ² ³ Ⅷ ٣ ４ 五 〇 ß ﬁ İ ı ſ K Σίσυφος ΟΔΟΣ ΟΔΟΣ.",
    "İstanbul DİYARBAKIR ILIK ilik I i",
    "日本語のテキスト、これは長い文です。「引用」（括弧）……？！",
    "Это русский текст с ёлкой и ещё чем-то: 2024 год.",
    "العربية نص ٤٥٦ مع أرقام",
    "हिन्दी पाठ में मात्राएँ",
    "e\u0301 combining, a\u030a ring, n\u0303 tilde",
    "schön – „Anführung“ “curly” ‘single’ «guillemets» … ━ ► ％ １ ～ ．end。",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abcabcabcabcabcabcabcabcabcabcabcabc",
    "the cat sat on the mat. the cat sat on the mat. the cat sat on the mat.",
    "word word word word word word word word word word word word",
    "A b C a B c A b C a B c a b c 1 ! a b c",
    "nul\x00byte and \x07bell \x1b[31mred\x1b[0m del\x7f c1\x91quoted\x92",
    "x" * 300 + " " + "y" * 20,
    # links
    "see http://example.com/path?q=1&r=2#frag for more",
    "see https://example.com. And (https://example.com/a_(b)_c), or <ftp://ftp.example.org/x>!",
    "www.example.com www3.example.com/x WWW.EXAMPLE.COM, wwwx.com www.a",
    "bit.ly/abc foo.co.uk/bar/baz a.bc/ example.com example.com/ x.abcde/f",
    "mailto:someone@example.com tel:+123 urn:isbn:0451450523 javascript:alert(1)",
    "C:/windows and c:\\windows and key:value key: value a:b ab:c ab:/ ab:// ab:///x",
    "def f(x: int, y:str) -> dict[str:int]: return x[1:2]",
    "http://a http:// http:/x http:///// http://. http://.. http://.a http://a. http://a.. http://()",
    "http://ex.com/(a(b)c) http://ex.com/(a(b(c))) http://ex.com/) http://ex.com/(a http://ex.com/((a))b",
    "http://ex.com/`a` http://ex.com/[b] http://ex.com/{c} 'http://ex.com/d' \"http://ex.com/e\";",
    "日本http://例え.jp/パス。http://example.com/日本語、次 «http://ex.com/a» “http://ex.com/b” ‘http://ex.com/c’",
    "e\u0301http://x.yz/a _http://x.yz/b éhttp://x.yz/c 1http://x.yz/d -http://x.yz/e",
    "éa.com/x 日.bar.com/x ..foo.com/x -a-.foo.com/y ſite.com/x KelvIn.com/x İx.com/y ıx.com/y",
    "httſ://x.com/a hTTpK://x.com/b www٣.example.com/x www1234.com/",
    "two http://a.com/x\nlines http://b.com/y\r\nhttp://c.com/z\x1chttp://d.com/w\u2028http://e.com/v\x85http://f.com/u",
    "http://a.com/x\u00a0http://b.com/y\u200bhttp://c.com/z\u3000http://d.com/w",
    '(http://a.com) [http://a.com] <a href="http://a.com/b">link</a> http://user:pw@host:80/p?q=%20',
    "a" * 40 + ".com/" + "b" * 40 + "(" * 3,
    # e-mail
    "write to first.last+tag@sub.example.com, or a@b.c; or A@B.C or a@B.c",
    "@handle user@host user@host. user@.com .@a.b -_+.@-_+.z a@b.c1 a@b.c.d.EF",
    "me@日本.jp 日本@example.com é@example.com x@example.comé <me@example.org>",
    "a@b@c.d e@f..g h@i.j@k.l",
    # mojibake, entities
    "Ã©tÃ© â€œquotedâ€\x9d schÃ¶n cafÃ©",
    "l’avenir â€“ voilà\u0301 ﬁn ＦＵＬＬ ｈａｌｆ ﾊﾝｶｸ",
    "&lt;b&gt; &amp; &eacute; &amp;amp; &#233; &notanentity;",
    "&lt;first&gt;\n<b>then a tag &amp; more\nthen &amp; again\n",
    "before &amp;\nno tag &eacute;\nthen < here &amp;\nafter &amp; é\n",
    "only ascii & ampersand\r\nand crlf\r\n",
    "Ω Å ｶﾞ ﬀ ① ㎏ e\u0301",
    "broken \ufffd sequence Ã\xa0 la carte â\x80\x99s",
    # copyright
    "/* Copyright 2020 Someone\n * All rights reserved. */\nint main() {}\n",
    "/* nothing here */ code /* copyright */",
    "int x; /** COPYRIGHT **/ y",
    "/* copyrİght */ z",
    "/* copyrıght */ z",
    "/* unclosed copyright",
    "/*/ odd copyright */ rest",
    "// line one\n// line two\n\n# three\n-- four\ncode // not this\n# nor this",
    "# only\n# comments",
    "# only\n# comments\n",
    "\n\n\ncode",
    "code first\n# comment",
    "//",
    "#",
    "-\n--\n",
    " # indented comment\ncode",
    # words by length
    "short verylongwordindeed(((((((((( ((((((((((verylongwordindeed a bb ccc dddd",
    "keep\nthese\tlines  and\t\ttabs\n\n  \t \nsupercalifragilisticexpialidocious\nend",
    "(((((((((((((((((((((((((((((((((a",
]


def _generated() -> list[str]:
    rng = random.Random(20)
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(1, 9))) for _ in range(400)]
    alphabet = "abcXYZ019 .,;:/\n\t@#é日😀\u3000\u200b()w-_<>&'\r"
    texts = [" ".join(rng.choices(words, k=rng.randint(3, 400))) for _ in range(30)]
    texts += ["".join(rng.choices(alphabet, k=rng.randint(0, 200))) for _ in range(60)]
    near = " ".join(rng.choices(words, k=200)).split()
    for changes in (0, 1, 3, 10, 40, 100):
        edited = list(near)
        for place in rng.sample(range(len(near)), changes):
            edited[place] = rng.choice(words)
        texts.append(" ".join(edited))
    texts += [texts[0].upper(), " " + texts[1] + " \n", texts[2].replace(" ", "  "), texts[3].replace(" ", ", ")]
    texts += ["ab" * 3000, "line of text\n" * 500, "lorem ipsum dolor sit amet " * 300, "日本語" * 1500]
    return texts


TEXTS = _HAND + _generated()

_RNG = random.Random(5)
ROWS = [
    {
        "text": text,
        "id": number,
        "lang": _RNG.choice(["en", "de", "fr", "zh"]),
        "score": _RNG.choice([0.5, 1.0, 2.5, -3.0, 7.25]),
        "count": _RNG.randint(0, 6),
        "meta": {"source": _RNG.choice(["web", "book", None]), "rank": _RNG.choice(["3", "10", "x", "2.5"])},
        "tags": _RNG.choice([["a"], ["a", "b"], ["c"], []]),
        "__dj__suffix__": _RNG.choice([".txt", ".md", ".py"]),
    }
    for number, text in enumerate(TEXTS)
]

_RANGE_OPTIONS = [
    {"min_closed_interval": False},
    {"max_closed_interval": False},
    {"reversed_range": True},
    {"reversed_range": True, "min_closed_interval": False, "max_closed_interval": False},
]

MAPPERS = [
    ("whitespace_normalization_mapper", {}),
    ("clean_links_mapper", {}),
    ("clean_links_mapper", {"repl": "<LINK \\1>"}),
    ("clean_links_mapper", {"pattern": "r'https?://\\S+'", "repl": "[é]"}),
    ("clean_email_mapper", {}),
    ("clean_email_mapper", {"repl": "<\\g<0>>"}),
    ("clean_email_mapper", {"pattern": "[\\w.]+@[\\w.]+", "repl": "X"}),
    ("fix_unicode_mapper", {}),
    ("fix_unicode_mapper", {"normalization": "nfkc"}),
    ("fix_unicode_mapper", {"normalization": "NFD"}),
    ("punctuation_normalization_mapper", {}),
    ("clean_copyright_mapper", {}),
    ("remove_long_words_mapper", {}),
    ("remove_long_words_mapper", {"min_len": 2, "max_len": 8}),
    ("remove_long_words_mapper", {"min_len": 3, "max_len": 25}),
]

FILTERS = [
    ("text_length_filter", {}),
    ("text_length_filter", {"min_len": 20, "max_len": 60}),
    *[("text_length_filter", {"min_len": 4, "max_len": 36, **options}) for options in _RANGE_OPTIONS],
    ("maximum_line_length_filter", {}),
    ("maximum_line_length_filter", {"min_len": 3, "max_len": 50}),
    ("average_line_length_filter", {}),
    ("average_line_length_filter", {"min_len": 5, "max_len": 40, "reversed_range": True}),
    ("words_num_filter", {}),
    ("words_num_filter", {"lang": "zh", "min_num": 2, "max_num": 12}),
    ("alphanumeric_filter", {}),
    ("alphanumeric_filter", {"min_ratio": 0.5, "max_ratio": 0.9}),
    *[("alphanumeric_filter", {"min_ratio": 0.5, "max_ratio": 1.0, **options}) for options in _RANGE_OPTIONS],
    ("special_characters_filter", {}),
    ("special_characters_filter", {"min_ratio": 0.1, "max_ratio": 1}),
    ("character_repetition_filter", {}),
    ("character_repetition_filter", {"rep_len": 3, "max_ratio": 0.2}),
    ("character_repetition_filter", {"rep_len": 1}),
    ("character_repetition_filter", {"rep_len": 16}),
    ("character_repetition_filter", {"rep_len": 37}),
    ("word_repetition_filter", {}),
    ("word_repetition_filter", {"rep_len": 1, "max_ratio": 0.9}),
    ("word_repetition_filter", {"rep_len": 3, "max_ratio": 0.2}),
    ("specified_field_filter", {"field_key": "lang", "target_value": ["en", "zh"]}),
    ("specified_field_filter", {"field_key": "lang", "target_value": ["en"], "reversed_range": True}),
    ("specified_field_filter", {"field_key": "meta.source", "target_value": ["web"]}),
    ("specified_field_filter", {"field_key": "meta.source", "target_value": ["book", None]}),
    ("specified_field_filter", {"field_key": "tags", "target_value": ["a", "c"]}),
    ("specified_field_filter", {"field_key": "count", "target_value": [1, 2.0, 5]}),
    ("suffix_filter", {}),
    ("suffix_filter", {"suffixes": ".txt"}),
    ("suffix_filter", {"suffixes": [".md", ".py"], "reversed_range": True}),
]

GLOBALS = [
    ("document_deduplicator", {}),
    ("document_deduplicator", {"lowercase": True}),
    ("document_deduplicator", {"ignore_non_character": True}),
    ("document_deduplicator", {"lowercase": True, "ignore_non_character": True}),
    ("document_minhash_deduplicator", {}),
    ("document_minhash_deduplicator", {"lowercase": False, "num_permutations": 128, "jaccard_threshold": 0.5}),
    ("document_minhash_deduplicator", {"tokenization": "character", "window_size": 7, "jaccard_threshold": 0.8}),
    ("document_minhash_deduplicator", {"tokenization": "punctuation", "window_size": 2, "num_permutations": 64}),
    ("document_minhash_deduplicator", {"tokenization": "punctuation", "window_size": 1, "num_permutations": 64}),
    (
        "document_minhash_deduplicator",
        {"window_size": 1, "num_permutations": 96, "num_bands": 8, "num_rows_per_band": 12},
    ),
    ("document_minhash_deduplicator", {"ignore_pattern": "[\\p{P}\\d]", "num_permutations": 100}),
    ("random_selector", {}),
    ("random_selector", {"select_ratio": 0.3}),
    ("random_selector", {"select_num": 17}),
    ("random_selector", {"select_ratio": 0.5, "select_num": 10}),
    ("topk_specified_field_selector", {"field_key": "score", "topk": 20}),
    ("topk_specified_field_selector", {"field_key": "count", "top_ratio": 0.25, "reverse": False}),
    ("topk_specified_field_selector", {"field_key": "lang", "topk": 30}),
    ("topk_specified_field_selector", {"field_key": "meta.rank", "topk": 30}),
    ("topk_specified_field_selector", {"field_key": "meta.rank", "topk": 40, "top_ratio": 0.1, "reverse": False}),
    ("frequency_specified_field_selector", {"field_key": "lang", "topk": 2}),
    ("frequency_specified_field_selector", {"field_key": "count", "top_ratio": 0.5, "reverse": False}),
    ("frequency_specified_field_selector", {"field_key": "meta.source", "topk": 1}),
]

THRESHOLDS = [(threshold / 20, functions) for threshold in range(2, 20) for functions in (8, 64, 128, 256)]
"""(Jaccard threshold, hash functions) for which the best bands are compared."""
