"""Word lists the text generator draws from, and the makers of invented words and names."""

from __future__ import annotations

import random


def options(block: str) -> list[str]:
    """The phrases of a block, separated by bars; line breaks count as spaces, an empty phrase is kept."""
    return [" ".join(part.split()) for part in block.split("|")]


def words(block: str) -> list[str]:
    """The words of a block."""
    return block.split()


NAMES = words("""
Ada Alan Alba Alex Alice Amara Amir Amy Ana Andre Anna Anton Anya Ari Asha Astrid Aya Bea Ben Bianca Bilal
Bob Boris Bruno Cara Carl Carlos Carmen Cecil Chen Chloe Clara Clive Cora Dana Daniel Daria David Dean
Diana Diego Dina Dora Edith Eli Elif Elsa Emil Emma Enzo Erik Esme Eva Fatima Felix Fiona Flora Frank
Freya Gita Grace Greta Gus Hana Hans Harry Hassan Hazel Heidi Helen Henry Hugo Ida Igor Ines Ingrid Ira
Iris Isaac Ivan Ivy Jack Jade James Jan Jane Jasper Jean Jo Joan Joel John Jonas Jose Joy Juan Julia June
Kai Karen Karl Kate Keiko Ken Kim Kira Lana Lars Laura Lea Lena Leo Lily Lin Lisa Liv Lola Lotte Lucas
Lucy Luis Luna Mae Maja Malik Mara Marco Maria Mark Marta Mary Max Maya Mei Mia Mika Mike Mila Milo Mina
Mo Mona Nadia Naomi Nash Nell Nia Nick Nico Nils Nina Noah Noor Nora Olaf Olga Olive Omar Oscar Otto Owen
Pablo Pam Paul Pavel Peter Petra Pia Piotr Quinn Rafa Raj Rania Raul Ravi Rita Robin Rosa Rose Ross Ruby
Ruth Ryan Said Sam Samir Sana Sara Sasha Sean Selma Seth Silas Simon Sofia Sol Stella Sue Sven Tara Ted
Tess Theo Tim Tina Tom Tomas Ugo Uma Una Vera Vic Viktor Vita Wanda Wei Will Willa Xia Yara Yasmin Yuki
Yusuf Zane Zara Zoe
""")

ACCENTED = words("""
Zoë José Łukasz Chloë André Renée Jürgen Søren Noël Inés Raúl Björn Anaïs Åsa Čeněk Işik
""")

NOUNS = words("""
acorn anchor ant apple apricot arrow badger bag baker ball banana basket beach bean bear bed bee beetle
bell bench bike bird biscuit blanket boat bone book boot bottle bowl box branch bread brick bridge broom
brush bucket bus butter button cabin cake camel camera candle canoe cap car card carpet carrot castle cat
chair cheese cherry chess chick clock cloud clown coat cobra coin comb comet cook cookie coral corn cow
crab crane crow crown cup curtain daisy deer desk dog doll dolphin donkey door dragon drum duck eagle ear
egg elephant elk engine falcon farmer feather fence fern fig finger fire fish flag flower flute fly forest
fork fox frog garden gate ghost giraffe glass glove goat gold goose grape grass hammer hamster harp hat
hawk hedgehog hen heron hill honey horse hotel house ice iris island jacket jar jelly jewel kettle key
king kite kitten knife knight koala ladder lake lamb lamp leaf lemon leopard letter lime lion lizard llama
lobster lock mango map maple mask melon mint mirror mole money monkey moon moose moth mountain mouse
mushroom needle nest net newt night nurse nut oak ocean olive onion orange orchid otter oven owl ox oyster
paint palm panda paper parrot pea peach pear pearl pen pencil penguin pepper piano pie pig pigeon pillow
pilot pine pirate pizza plane plate plum pocket pond pony potato prince queen rabbit radio rain raven
ribbon rice ring river road robin robot rocket roof rope rose ruler sailor salad salt sand saw scarf
school seal seed shark sheep shell ship shirt shoe shovel sister skirt sky snail snake snow soap sock sofa
soup spider spoon squid squirrel stamp star stone storm stove sugar sun swan table tea teacher tent tiger
toad toast tomato tower toy train tree truck trumpet tulip tunnel turtle vase violin wagon wall walnut
watch water whale wheat wheel whistle wind window wizard wolf wood wool worm yak yarn zebra
""")

EVERYDAY = words("""
hello world please thanks what when where which there here name list word number count repeat write tell about help
great good small large story short first last letter capital case text answer question model service app data queue
time day night morning evening week month year today tomorrow yesterday summer winter spring autumn red green blue
yellow black white brown purple one two three four five six seven eight nine ten hundred thousand yes no maybe all
some every other another because before after under over between together alone always never often again still only
love like want need make take give come look find think know learn teach work play run walk jump sing dance read
open close start stop hot cold warm new old young big fast slow quick happy sad angry hungry kind brave clever
friend mother father family child people person city country street village market garden weather cloudy sunny
coffee juice milk bread dinner lunch breakfast kitchen computer keyboard screen phone message email test ping pong
foo bar baz example sample demo simple hard easy banana lazy for the and with from that this they them their your
you has have had was were will would can could should must may might not but how why who whose apply service
""")

TOPICS = options("""
the weather | the stock market | quantum physics | my tax return | the French Revolution | the football
match | black holes | my visa | a recipe for soup | the election | a flight to Oslo | my broken laptop |
the history of Rome | a poem | a marketing plan | my headache | a cover letter | the meaning of life | a
bash script | my contract | the best phone | a love letter | the roots of a polynomial | Shakespeare | the
moon landing | a diet plan | my homework | a business plan | the price of gold | a database query | a song
| my garden | climate change | a trip to Japan | machine learning | the population of Brazil | the news |
a workout plan | the latest film | my dream | a logo | a regular expression | the Roman Empire | string
theory | a speech for a wedding | my printer | interest rates | a haiku | the causes of inflation | a
Python program | the plot of a novel | the rules of cricket | jazz music | ancient Egypt | my invoice |
the speed of light | a birthday gift | an essay | a web page | cryptography | the theory of evolution | a
resume | my knee pain | photosynthesis | the tallest building | a chess opening | vaccines | a legal
letter | my budget | the deepest lake | a lesson plan | the best restaurant in town | a haircut | the
train to Berlin | a new job | a mortgage | a sorting algorithm | the water cycle | a summary of this
article | the president | world peace | a riddle | a joke | philosophy | an unpaid bill | a parking fine |
the universe | the square root of two | the tides | a blog post | a tweet | the capital of Peru | an email
to my boss | a Docker file | my car engine | a translation into German | a translation into French | the
solar system | prime numbers | a horoscope | the lottery | my landlord | a medical diagnosis | an
investment | the law of gravity | the second world war | the offside rule | a knitting pattern | my cat |
a holiday in Spain | a curry | the exchange rate | the periodic table | a crossword | an operating system
| a router | my password | the time in Tokyo | the date of Easter | the weather tomorrow | the next
eclipse | my horoscope | a JavaScript function | a menu | a wine for dinner | the best laptop | a rap song
| bitcoin | volcanoes | dinosaurs | earthquakes | the Great Wall | the internet | my bank | an oil
painting | a screenplay | a contract for rent | a science project | the pyramids | the brain | the heart |
sleep | happiness | love
""")

POSITIVE = words("""
great good excellent wonderful fantastic amazing lovely superb delightful brilliant perfect beautiful
pleasant charming enjoyable impressive outstanding delicious friendly helpful comfortable reliable
splendid terrific marvellous fun awesome tasty fresh cosy elegant magical remarkable stunning satisfying
smooth solid fabulous incredible nice
""")

NEGATIVE = words("""
bad awful terrible horrible dreadful poor disappointing boring dull broken useless rude dirty slow ugly
noisy unpleasant nasty cheap cold stale bland lousy painful annoying faulty weak messy shabby sloppy
tasteless unreliable uncomfortable overpriced unfriendly miserable pathetic appalling tedious worthless
""")

PRODUCTS = options("""
film | movie | book | meal | hotel | room | phone | laptop | restaurant | service | coffee | pizza | soup
| show | concert | album | game | jacket | chair | camera | headset | bed | play | novel | staff | waiter
| tour | museum | beach | train ride | flight | cake | bread | keyboard | screen | battery | story |
acting | music | plot | app | printer | bag | tent | bike | lamp | desk | sofa | course | teacher | guide
| driver | dessert | breakfast | lunch | dinner | delivery | support | sound | picture | design | cafe |
bar | park | store | market | pen | watch | blender | kettle | vacuum | monitor | mouse | charger
""")

LOVED = options("""
I loved every minute of it | I would buy it again | I will come back | it made my day | I could not stop
smiling | it works like a dream | highly recommended | I enjoyed it a lot | worth every penny | my whole
family loved it | it is the best I have had | we had a great time | I love it | it exceeded my hopes | I
am very happy with it | five stars from me | I recommend it to everyone | what a joy | I really liked it
""")

HATED = options("""
I hated every minute of it | I want my money back | I will never come back | it ruined my day | I almost
fell asleep | it broke after a day | not recommended | I did not enjoy it | a waste of money | my whole
family hated it | it is the worst I have had | we had an awful time | I hate it | it let me down | I am
very unhappy with it | one star from me | avoid it | what a mess | I really disliked it | a waste of time
""")

_ONSETS = words("""
b c d f g h j k l m n p r s t v w z br ch cl cr dr fl fr gl gr kr pl pr qu sh sk sl st th tr x y
""")
_VOWELS = words("""
a a e e i i o o u ai au ea ee ia io oa ou y
""")
_CODAS = options(" |  |  |  | l | n | r | s | t | m | k | d | x | ck | nd | rt | sh | lm | ng | ss | ff")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def invented(rng: random.Random) -> str:
    """A pronounceable word nobody has seen before, or now and then a plain run of random letters."""
    if rng.random() < 0.2:
        return "".join(rng.choice(_LETTERS) for _ in range(rng.randint(2, 9)))
    parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.choice((1, 1, 2, 2, 2, 3)))]
    return "".join(parts) + rng.choice(_CODAS)


def word(rng: random.Random) -> str:
    """A lower-case word: an everyday one, a blend of two of those, or an invented one."""
    roll = rng.random()
    if roll < 0.3:
        return rng.choice(NOUNS)
    if roll < 0.42:
        return rng.choice(EVERYDAY)
    if roll < 0.55:
        head, tail = rng.choice(EVERYDAY + NOUNS), rng.choice(EVERYDAY + NOUNS)
        return head[: rng.randint(2, len(head))] + tail[rng.randint(0, len(tail) - 1) :]
    return invented(rng)


def name(rng: random.Random) -> str:
    """A person's name: everyday, accented or invented; sometimes double, lower-case or with a surname."""
    roll = rng.random()
    one = rng.choice(NAMES) if roll < 0.3 else rng.choice(ACCENTED) if roll < 0.32 else invented(rng).capitalize()
    shape = rng.random()
    if shape < 0.06:
        return f"{one} {invented(rng).capitalize()}"
    if shape < 0.09:
        return f"{one}-{rng.choice(NAMES)}"
    if shape < 0.10:
        return f"O'{one}"
    return one.lower() if shape < 0.16 else one


_ACCENTS = "àáâäåãèéêëìíîïòóôöõøùúûüýçñšžčćęąłńśźőűřěğş"


def training_word(rng: random.Random) -> str:
    """A word for training only: mostly as above, or one that teaches the letters of the tokenizer's pieces.

    A piece that is a whole everyday word can be copied or spelt only if it was seen inside some longer word; so whole
    words are glued to others.  Words of few different letters teach runs of one letter.
    """
    roll = rng.random()
    if roll < 0.65:
        return word(rng)
    if roll < 0.96:
        whole = rng.choice(EVERYDAY if rng.random() < 0.75 else NOUNS)
        other = rng.choice(EVERYDAY) if rng.random() < 0.4 else invented(rng)
        return whole + other if rng.random() < 0.6 else other + whole
    letters = rng.sample(_LETTERS, rng.randint(2, 4))
    return "".join(rng.choice(letters) for _ in range(rng.randint(2, 7)))


def training_name(rng: random.Random) -> str:
    """A name for training only: as above, now and then with another accented letter in it."""
    one = name(rng)
    if rng.random() < 0.05:
        at = rng.randrange(len(one))
        accent = rng.choice(_ACCENTS)
        one = one[:at] + (accent.upper() if at == 0 else accent) + one[at + 1 :]
    return one
