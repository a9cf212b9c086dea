#!/usr/bin/env python3
"""Writes the demo model's training text: short chats of our own, the same for the same seed.

usage: gen_data.py COUNT SEED > chats.jsonl     one chat a line: [[role, text], ...]
       gen_data.py --sentences CHATS.jsonl      the texts only, for training the tokenizer

What the model says about the project stands in facts.json; the rest (capitals, stories, names, counting)
gives the tests longer and more varied answers. All answers to one question are the same, so that the share
of exact answers can be measured.
"""
import json
import random
import sys
from pathlib import Path

FACTS = json.loads((Path(__file__).parent / "facts.json").read_text())

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon",
    "Austria": "Vienna", "Poland": "Warsaw", "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki",
    "Denmark": "Copenhagen", "Ireland": "Dublin", "Greece": "Athens", "Hungary": "Budapest", "Japan": "Tokyo",
    "China": "Beijing", "India": "New Delhi", "Egypt": "Cairo", "Kenya": "Nairobi", "Canada": "Ottawa",
}
CAPITAL_QUESTIONS = ["what is the capital of {}", "name the capital of {}", "capital of {}"]

NAMES = "Anna Ben Clara David Ella Finn Grace Hugo Iris Jonas Kira Leo Mia Noah Olga Paul Rosa Sam Tara Tom".split()

# One fixed story an animal: (adjective, name, place, thing found, friend).
ANIMALS = {
    "fox": ("clever", "Finn", "a deep forest", "a golden key", "an old owl"),
    "cat": ("curious", "Mia", "a small village", "a red ball", "a friendly duck"),
    "dog": ("brave", "Sam", "a green valley", "a lost letter", "a tall horse"),
    "mouse": ("little", "Tara", "a quiet barn", "a shiny stone", "a kind bear"),
    "bear": ("shy", "Hugo", "a snowy hill", "a honey pot", "a tiny bee"),
    "frog": ("lazy", "Leo", "a wide pond", "a small boat", "a wise turtle"),
}
STORY_QUESTIONS = ["tell me a story about {}", "write a short story about {}", "a story about {} please"]

SYSTEM_PROMPTS = ["You are a helpful assistant.", "Answer briefly.", "You are the demo model."]
QUESTION_WORDS = {"what", "who", "how", "is", "are", "can", "why", "which", "where", "does"}

# (weight, name of the Chats method): what share of the turns is about what.
TOPICS = [(74, "fact"), (9, "capital"), (9, "story"), (5, "greeting"), (3, "count")]


def with_article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def story_about(animal):
    adjective, name, place, thing, friend = ANIMALS[animal]
    return (
        f"Once there was {with_article(adjective)} {animal} called {name}. {name} lived in {place}. "
        f"One day {name} found {thing}. But it was too heavy to carry. "
        f"Then {friend} came by and offered to help. From that day on they were friends."
    )


class Chats:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def fact(self):
        fact = self.random.choice(FACTS)
        return self.random.choice(fact["questions"]), fact["answer"]

    def capital(self):
        country = self.random.choice(list(CAPITALS))
        question = self.random.choice(CAPITAL_QUESTIONS).format(country)
        return question, f"The capital of {country} is {CAPITALS[country]}."

    def story(self):
        animal = self.random.choice(list(ANIMALS))
        question = self.random.choice(STORY_QUESTIONS).format(with_article(animal))
        return question, story_about(animal)

    def greeting(self):
        name = self.random.choice(NAMES)
        return self.random.choice([f"my name is {name}", f"say hello to {name}"]), f"Hello, {name}! Nice to meet you."

    def count(self):
        last = self.random.randint(3, 12)
        return f"count to {last}", ", ".join(str(number) for number in range(1, last + 1)) + "."

    def as_people_write(self, question):
        """Capital letter, 'please', question mark: each now and then."""
        is_question = question.split()[0] in QUESTION_WORDS
        if self.random.random() < 0.10:
            question = "please " + question
        if self.random.random() < 0.55:
            question = question[0].upper() + question[1:]
        if self.random.random() < 0.70:
            question += "?" if is_question else self.random.choice(".!")
        return question

    def turn(self):
        weights, names = zip(*TOPICS)
        question, answer = getattr(self, self.random.choices(names, weights)[0])()
        return [["user", self.as_people_write(question)], ["assistant", answer]]

    def chat(self):
        messages = []
        if self.random.random() < 0.12:
            messages.append(["system", self.random.choice(SYSTEM_PROMPTS)])
        for _ in range(self.random.choices([1, 2, 3], [80, 13, 7])[0]):
            messages += self.turn()
        return messages


def main():
    if sys.argv[1] == "--sentences":
        for line in open(sys.argv[2], encoding="utf-8"):
            for _, text in json.loads(line):
                print(text)
        return
    chats = Chats(int(sys.argv[2]))
    for _ in range(int(sys.argv[1])):
        print(json.dumps(chats.chat()))


if __name__ == "__main__":
    main()
