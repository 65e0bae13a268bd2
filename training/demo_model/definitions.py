"""The terms the demonstration model can define; every definition is our own sentence."""

from __future__ import annotations

_TEXT = """
cat: a small furry animal that people keep as a pet
dog: a loyal animal that people keep as a pet
fox: a clever wild animal with a bushy tail
wolf: a wild animal that lives and hunts in a pack
horse: a large animal that people ride
cow: a farm animal that gives milk
sheep: a farm animal that gives wool
bird: an animal with feathers and wings
owl: a bird that hunts at night
fish: an animal that lives in water and has fins
whale: a very large animal that lives in the sea
bee: an insect that makes honey
spider: a small animal with eight legs that spins webs
frog: a small green animal that jumps and swims
tree: a tall plant with a trunk and branches
flower: the colourful part of a plant
apple: a round fruit that grows on a tree
banana: a long yellow fruit
lemon: a sour yellow fruit
bread: a food made from flour and baked in an oven
cheese: a food made from milk
rice: small white grains that people eat
tea: a hot drink made from leaves
coffee: a hot drink made from roasted beans
sugar: a sweet food made of small crystals
salt: a white mineral that gives food its taste
water: a clear liquid that all living things need
fire: the heat and light of something that burns
ice: water that is frozen
rain: water that falls from the clouds
snow: soft white ice that falls from the clouds
cloud: a mass of small water drops in the sky
wind: air that moves
sun: the star that gives the earth light and heat
moon: the round body that travels around the earth
star: a distant sun that shines at night
river: a long stream of water that flows to the sea
lake: a large area of water with land around it
ocean: a very large area of salt water
mountain: a very high hill
forest: a large area with many trees
island: land with water all around it
desert: a dry place with little rain
house: a building where people live
school: a place where children learn
bridge: a way built over a river or a road
road: a way that cars travel on
car: a machine with four wheels that carries people
train: a row of wagons that travels on rails
bicycle: a vehicle with two wheels and pedals
boat: a vehicle that travels on water
plane: a machine with wings that flies
clock: a device that shows the time
lamp: a device that gives light
chair: a seat for one person
table: a flat top on legs
bed: a piece of furniture to sleep on
door: a panel that opens and closes an entrance
window: an opening in a wall that lets in light
key: a small tool that opens a lock
cup: a small container to drink from
spoon: a tool to eat soup with
knife: a tool with a blade that cuts
book: pages with text that are bound together
letter: a written message to someone
paper: thin sheets to write on
pen: a tool to write with
music: pleasant sounds made by voices or instruments
piano: a large instrument with black and white keys
computer: a machine that works with data
robot: a machine that can do tasks by itself
phone: a device to talk to people far away
model: a program that has learned from examples
token: a small piece of text that a model reads
prompt: the text that a person gives to a model
server: a computer that answers requests
queue: a line of jobs that wait for their turn
cache: a store that keeps answers for later
app: a program that a person uses
json: a text format for structured data
schema: a description of the shape of data
number: a word or sign that says how many
friend: a person you know well and like
teacher: a person who helps others learn
doctor: a person who helps sick people
farmer: a person who grows food
king: a man who rules a country
queen: a woman who rules a country
winter: the cold season of the year
summer: the warm season of the year
"""


def _parse(text: str) -> dict[str, str]:
    rows = (line.partition(": ") for line in text.strip().splitlines())
    return {term: meaning for term, _, meaning in rows}


DEFINITIONS = _parse(_TEXT)

UNKNOWN = "a word that this small demonstration model does not know"
