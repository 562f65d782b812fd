"""The ways to put a question: what is fixed text in the corpus."""

import random

QUESTIONS: tuple[str, ...] = (
    "What is the capital of {country}?",
    "What's the capital of {country}?",
    "What is the capital city of {country}?",
    "Which city is the capital of {country}?",
    "Which is the capital of {country}?",
    "What city is the capital of {country}?",
    "What is the name of the capital of {country}?",
    "What is {owner} capital?",
    "Tell me the capital of {country}.",
    "Name the capital city of {country}.",
    "Name the capital of {country}.",
    "Give me the capital of {country}.",
    "Capital of {country}?",
    "{country} capital?",
    "The capital of {country}?",
    "Can you tell me the capital of {country}?",
    "Could you tell me which city is the capital of {country}?",
    "Do you know the capital of {country}?",
    "Do you know what the capital of {country} is?",
    "I would like to know the capital of {country}.",
    "I forgot the capital of {country}.",
    "{country}: what is its capital?",
)

# Never trained on: they show whether the model understands wordings it has not seen.
UNSEEN_QUESTIONS: tuple[str, ...] = (
    "Could you name the capital of {country}?",
    "I need to know the capital city of {country}.",
    "Can you say which is the capital of {country}?",
    "I want to know what the capital of {country} is.",
    "Tell me which city is {owner} capital.",
)

FOLLOW_UPS: tuple[str, ...] = (
    "And of {country}?",
    "And {country}?",
    "And the capital of {country}?",
    "What about {country}?",
    "How about {country}?",
    "Now {country}.",
    "{country}?",
)

# {other} is a country that is mentioned but not asked for.
PREFIXES: tuple[str, ...] = (
    "",
    "",
    "Hi! ",
    "Hello. ",
    "Hello there, ",
    "Hey, ",
    "Please, ",
    "Good morning! ",
    "Excuse me. ",
    "Quick question: ",
    "Question: ",
    "Help me. ",
    "Just wondering. ",
    "So, ",
    "I'm writing a quiz. ",
    "I am a student and I have a test tomorrow. ",
    "My friend and I have a bet. ",
    "I live in {other}. ",
    "I was in {other} last year. ",
    "We will travel from {other} next week. ",
)

# {mark} is the mark that closes the sentence.
ENDINGS: tuple[str, ...] = (
    "{mark}",
    "{mark}",
    "",
    "!",
    " {mark}",
    "{mark}{mark}",
    ", please{mark}",
    " please",
    "{mark} Thanks!",
    "{mark} Thank you.",
    "{mark} Please be short.",
    "{mark}\n",
)

SYSTEM_PROMPTS: tuple[str | None, ...] = (
    None,
    None,
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are a geography teacher.",
    "You are a friendly and helpful AI assistant. Answer the question of the user.",
    "Answer in one sentence.",
    "Answer briefly and correctly.",
    "You are a quiz master. Be concise.",
    "You are an expert. Think carefully, and give a short answer.",
    "Be polite.",
    "You help travellers who want to know something about a country.",
)

GREETINGS: tuple[str, ...] = (
    "Hello!", "Hello", "Hi!", "Hi", "Hi there!", "Hey", "Good morning!", "Good evening.", "How are you?",
)  # fmt: skip
GREETING_ANSWER = "Hello! Ask me for the capital of a country."

THANKS: tuple[str, ...] = ("Thanks!", "Thank you.", "Thank you very much!", "Great, thanks.", "Bye!")
THANKS_ANSWER = "You are welcome!"

# {country} makes the model look at what is asked, and not only at the name of a country.
UNKNOWN: tuple[str, ...] = (
    "What is the weather today?",
    "What is the weather in {country}?",
    "How many people live in {country}?",
    "Who is the president of {country}?",
    "What language do people speak in {country}?",
    "What is the population of {country}?",
    "Tell me a joke.",
    "Tell me a story about {thing}.",
    "Write a poem about {thing}.",
    "Write a program that sorts {thing}.",
    "What do you think about {thing}?",
    "How does {thing} work?",
    "What is {thing}?",
    "Explain {thing} to me.",
    "Count from {number} to {number}.",
    "What is {number} plus {number}?",
    "Translate {thing} into Spanish.",
    "{noise}",
    "What is the capital of {noise}?",
    "Tell me the capital of {noise}.",
)
THINGS: tuple[str, ...] = (
    "the sea", "a cat", "a computer", "love", "the moon", "music", "a robot", "numbers", "history",
    "the internet", "a car", "time", "football", "a dog", "this sentence", "quantum physics", "bread",
)  # fmt: skip
UNKNOWN_ANSWER = "Sorry, I only know the capitals of some countries."

LISTS: tuple[str, ...] = (
    "Tell me about the capitals of {continent}.",
    "List the capitals of {continent}.",
    "List some capitals of {continent}.",
    "Name some capitals in {continent}.",
    "What are the capitals of {continent}?",
)
WORLD_LISTS: tuple[str, ...] = (
    "List some capitals.",
    "Tell me some capitals.",
    "List some capitals of the world.",
    "Tell me about the capitals of the world.",
    "Which capitals do you know?",
)


def noise(rng: random.Random) -> str:
    """Return words that mean nothing, so that the model declines what it cannot know."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ("".join(rng.choices(letters, k=rng.randint(2, 8))) for _ in range(rng.randint(1, 5)))
    return " ".join(words).capitalize()
