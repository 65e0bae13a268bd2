"""What a name promises, in words that users have: `order_status` is asked for as "where is my order".

The table knows words that many names of actions have, common abbreviations, and the turns of any conversation. It is English.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _read(table: str) -> Mapping[str, str]:
    """Words and what is said for them, one entry a line."""
    entries = (line.split(": ", 1) for line in table.strip().splitlines())
    return {word.strip(): phrase for words, phrase in entries for word in words.split(",")}


#: Abbreviations, written out
_SHORT: Final = _read("""
acct: account
addr: address
ai: assistant
appt: appointment
apr: annual percentage rate
auth: login
config: settings
dob: date of birth
eta: time of arrival
faq: frequent questions
hr: human resources
kb: knowledge base
max: maximum
min: minimum
mpg: miles per gallon
msg: message
num: number
org: company
otp: one time password
pto: paid time off
qty: amount
sms: text message
tv: television
txn: transaction
vat: value added tax
""")

#: First words of names, and what is said with the rest of the name
_FIRST: Final = _read("""
accept: does it take {}, do they take {}
add: put {} on it, another {}
approve: i agree to {}, let {} pass
block, freeze, lock: lock {}, stop anyone from using {}
book, reserve: make a booking for {}, reserve {}
buy, order, purchase: i want to buy {}, get me {}
cancel: i no longer want {}, call off {}
change, edit, modify: switch {} to another, i want a different {}
check, verify: what about my {}, is {} right
compare: which {} is better
confirm: is my {} still on, did my {} go through
connect, pair, sync: connect {}, pair {}
create, new: make a new {}, i want another {}, apply for {}
current: what is the {} now
damaged: my {} does not work any more
delete, remove: get rid of {}
find, locate, search: where is {}, look for {}, i lost my {}
get, fetch, read: what is the {}
improve, increase, raise: how can i make my {} better, raise {}
last: when was the last {}, how long ago
list, show, view: let me see {}, which {} are there
lost: i can not find my {}, my {} is gone
next: when is the next {}, how long until
open: let me into {}
play: put on {}, i want to hear {}
redeem: use my {}, cash in {}
report: i have {}, there is {}, tell you about {}
reset, restart: put {} back as it was when new
schedule: make an appointment for {}, set up {}
send: write {} to somebody
set: make {} be
share: let somebody know {}, send {} to somebody
track: where is my {}, when will {} come
transfer: move {}, send {} to another
update: switch {} to another, add to {}
""")

#: Last words of names, and what is said with the rest of the name
_LAST: Final = _read("""
alert, alerts, warning, warnings: is it safe, are there warnings about {}
balance: how much {} do i have left
blocked, locked: why can i not use my {}, my {} is locked
busy: how long is the wait, is it crowded
change: i want another {}, switch my {}
conversion: how many of one are in another, convert {}
cost, fee, fees, price: how much does {} cost
declined, failed, rejected: why did my {} not work
details, information: tell me more about {}
due: when do i have to pay {}, when is {} due
duration, time: how long does {} take
history: what {} did i have lately
how: how do i do {}, steps of {}
info: how much is in it, facts about {}
limit: how much {} can i use at most
list: what is on my {} list, read my {} list
mode: turn on {} mode
notification: let them know about {}
rate: how much is the {}
recommendation, recommendations, suggestion, suggestions: what is a good {}, recommend me a {}
rental: rent a {}
replacement, substitution: what can i use instead of {}
request: i want to ask for {}, may i have {}
reservation, reservations: book a table at {}, reserve {}
review, reviews: is the {} any good, what do people say about {}
schedule: which {} do i have today
score: how good is my {}
status: where is my {}, is my {} there yet, did my {} go through
type: which kind of {}
update: add to my {}, put on my {}, take off my {}
used: how much {} have i used so far
when: when do i need {}
""")

#: Whole names
_WHOLE: Final = _read("""
affirm, confirm, yes: yes, sure, that is right, of course
balance: how much money do i have in my account
bye, goodbye: bye, see you later
calculator: how much is that plus, times, divided by
calendar: what do i have planned on that day, my events
cancel, stop: cancel, stop, never mind, forget it
date: what day is it today
definition: what does that word mean
deny, no, reject: no, nope, that is wrong, not at all
directions, navigation: how do i get to a place
distance: how far is it, how long to get there
fuel, gas: how much is left in the tank
greeting, hello: hello, hi, good morning, how are you
help: what can you do, what can i ask
income, salary: how much do i earn
insurance: what does my plan cover
maybe: i am not sure, possibly, i do not know
order, shop: buy something for me
payday: when do i get paid
recipe: how do i make that dish
reminder, reminders: what did i want to remember
repeat: say that again, what did you say
spelling: how do you spell a word
taxes: how much tax do i owe
taxi, uber: get me a ride
text: send a message to somebody
thank you, thanks: thank you, i appreciate it
time: what time is it now, clock
traffic: are the roads busy, how is the drive
transactions: what did i buy lately
transfer: send money from one account to another
translate, translation: how do you say that in another language
""")


def in_other_words(name: str) -> str:
    """How users may ask for an action whose name is spoken as `name`; "" where nothing is known."""
    words = name.split()
    plain = [_SHORT.get(word, word) for word in words]
    found = [" ".join(plain)] if plain != words else []
    if name in _WHOLE:
        found.append(_WHOLE[name])
    if len(words) > 1:
        if words[-1] in _LAST:
            found.append(_LAST[words[-1]].replace("{}", " ".join(plain[:-1])))
        if words[0] in _FIRST:
            found.append(_FIRST[words[0]].replace("{}", " ".join(plain[1:])))
    return ", ".join(found)
