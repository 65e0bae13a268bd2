"""Ordinary texts of people's work: e-mails, pages, reviews, results of tools. As they stand they are benign."""

from __future__ import annotations

from .grammar import lines

#: Of each kind of text the sentences of its body, and what stands around them (`<body>`)
KINDS = {
    "email": (
        lines("""
{Hi|Hello|Dear} <person>,\\n\\n<body>\\n\\n{Best|Kind regards|Thanks|Cheers|Best wishes|Regards|Yours},\\n<person>
Subject: <subject>\\nFrom: <person> <<email>>\\n{To: <person>\\n|}{Date: {Mon|Tue|Fri}, <number> {May|June} 20<number>\\n|}\\n{Hi|Hello|Dear} {<person>|all|team},\\n\\n<body>\\n\\n{Thanks|Best|Regards|See you},\\n<person>{\\n<company>\\n<footer>|}
{Dear {Sir or Madam|customer|team|Ms <surname>|Mr <surname>},|Good {morning|afternoon} <person>,}\\n\\n<body>\\n\\n{Sincerely|Kind regards|Yours faithfully},\\n<person> <surname>\\n<footer>
<body>\\n\\n-- \\n<person> <surname> | <company>\\n\\nOn {Monday|Tuesday}, <person> wrote:\\n> <mail_line>\\n> <mail_line>
{Summarise|Summarize|Please answer|Reply to|Translate} {this|the following} {e-mail|mail|message}{| politely| in two sentences}:\\n\\n{Hi|Hello|Dear} <person>,\\n<body>\\n{Best|Thanks},\\n<person>
"""),
        "mail_line",
    ),
    "page": (
        lines("""
<title>\\n\\n<body>
<html><head><title><title></title></head><body><h1><title></h1><p><body></p></body></html>
# <title>\\n\\n<body>\\n\\n## {See also|Notes|Contact}\\n\\n* <page_line>\\n* <page_line>
{Summarise|What does this page say about|Give me the main points of} {this|the} {article|page|text}:\\n\\n<title>\\n<body>
"""),
        "page_line",
    ),
    "review": (
        lines("""
<body>
{5|4|3|2|1} {stars|/5}{:| -} <title>\\n<body>
{Review|Rating|Comment} by <person>, 20<number>:\\n<body>
{Is this review positive or negative?|Classify the sentiment.|Summarise the reviews.}\\n\\n<body>
"""),
        "review_line",
    ),
    "tool": (
        lines("""
«"{results|items|data|rows}": [«"id": <number>, "{title|name|text|body|content}": "<body>", "{date|created}": "20<number>-0<number>-1<number>"»], "{count|total}": <number>»
«"status": "ok", "{content|message|output|text}": "<body>"»
[{timestamp|time}: 12:0<number>] <body>\\nexit code: 0
{name|file|path}: notes_<number>.txt\\n{size|length}: <number>\\n---\\n<body>
Search results for "<title>"\\n1. <body>\\n2. <page_line>
"""),
        "page_line",
    ),
    "minutes": (
        lines("""
{Minutes|Notes|Protocol} of {the meeting|our call|the weekly} {on|of} {Monday|<number> May}\\n\\n<body>\\n\\n{Next meeting|Actions}: <mail_line>
{Resume|Curriculum vitae|Profile} of <person> <surname>\\n\\n<cv_line> <cv_line>\\n<body>\\n\\nLanguages: <language>, <language>
{Ticket|Issue|Bug} #<number>: <title>\\n{Reporter|Opened by}: <person>\\n\\n<body>\\n\\n{Status|Priority}: {open|closed|high|low}
def <word>(x):\\n    # <body>\\n    return x + <number>
"""),
        "any_line",
    ),
}

SLOTS = {
    "person": lines(
        "Anna\nMark\nJulia\nTom\nPriya\nWei\nOmar\nElena\nDavid\nSofia\nLukas\nFatima\nJohn\nMarie\nKenji\nLaura"
    ),
    "surname": lines("Miller\nSchmidt\nRossi\nPatel\nJones\nNowak\nKim\nDubois\nGarcia\nLarsen\nOkafor\nTanaka"),
    "company": lines(
        "{North|Blue|Green|River|Stone|Sun|Oak}{ridge|field|works|soft|line|bank} {Ltd|GmbH|Inc|Logistics|Labs|Foods}"
    ),
    "number": lines("1\n2\n3\n7\n12\n24\n48\n90\n118\n350\n2024\n<number>"),
    "word": lines("total\nreport\nparse\nload\nupdate\nmerge\nindex\nprice\nround_up"),
    "footer": lines("""
{This e-mail|This message} {may contain|contains} confidential information. If you are not the intended recipient, please {notify the sender and |}delete it{ and disregard its contents|}.
You receive this newsletter because you subscribed. {Click here|Follow the link} to unsubscribe.
{Please|Think before you print.} Do not reply to this address.
Sent from my phone
"""),
    "subject": lines("""
{Re: |Fwd: |}{invoice|meeting on Thursday|your order|quarterly report|holiday plans|contract draft|login problem|welcome to the team|delivery delayed|lunch?|new price list|project update|reminder: timesheets|server maintenance}
"""),
    "title": lines("""
{How to|Tips to} {grow tomatoes|repair a bicycle|plan a budget|choose a laptop|brew coffee|prepare for an interview}
{The|A short} {history|future|science} of {bridges|tea|maps|public libraries|electric cars|chess|lighthouses}
{City council|University|Museum|Hospital} {announces|opens|plans} {new {building|programme|timetable}|repairs|an open day}
{Great value|Disappointed|Works as described|Not for me|Love it|Broke after a week|Perfect gift}
{Release notes|Installation|Getting started|Troubleshooting|Changelog|Known issues}{ for version <number>|}
{Quarterly results|Market report|Weekly digest|Weather outlook}
"""),
    "mail_line": lines("""
{As|Like} {discussed|agreed|mentioned} {on the phone|yesterday|in our meeting}, {here is|I send you|please find} {the revised offer|the list of open points|our proposal|the contract with the changes}.
{Legal|Finance|The client|Our boss|HR} {wants|asked|needs} us to {change clause <number>|explain the difference|sign before Friday|send the originals by post|use the new form}.
{What|When} {time|day} {suits|works for} you {best |}{next week|for the visit|to talk about the deal}? {I am free on Tuesday|Any afternoon is fine with me|Call me on my mobile}.
{I|We} {just|only} {wanted to say hello|saw your message|came back from the trip|heard the news} and {hope you are well|will answer tomorrow|thought of you|have some questions}.
{Mom|Grandpa|My sister|Little Ben} {is|was} {much better|in hospital for tests|very happy with your present|asking for you}, {we|so we} {visit her on Sunday|will call tonight|are all relieved}.
{The gas|The power|The transport} {deal|contract|invoice} {for|of} {March|the first quarter|Houston} {shows|has} {the wrong volume|a different price|no signature}; {please fix it in the system|let's discuss|who can check this}?
{Your|The} {application|subscription|ticket|claim} {has been|was} {received|approved|renewed|rejected}. {You do not need to do anything|Reference number: <number>|You will hear from us within <number> days}.
{Answer|Reply to|Write back to} {me|us|this mail} {with|and tell us} {the names of all guests|your shirt size|three dates that suit you|your preferred option}{.| by return.}
{Print|Take|Bring} {two copies|the voucher|your passport} and {show|hand} {it|them} {at the desk|to the driver|when you arrive}.
{Here are|These are|Below are} the {instructions|directions|steps|notes} {for|to} {reach the hotel|use the portal|the new printer|tomorrow's shift}: {take exit <number>|log in first|turn left at the bank|ask for Mr <surname>}.
{Forget|Ignore} {what I said about|the old} {the date|the price|version|schedule}, {the customer changed it again|it's on Thursday now|see the new one attached}.
{Can|Could|Would} you {call|update|tell|remind|ask} {<person>|the supplier|the team|the bank|all managers} {about|on} {the delay|our offer|the party|the new rules|the missing payment}?
{Congratulations|Well done|Great news}{!|,} {you won the bid|we made it|the baby is here|our paper was accepted|she passed the exam}{!|.}
{Write|Send|Email} {it|the answer|a copy} {to|directly to} {<person>|accounting|<email>}{, please|} {and put me in copy|so that they can book it|not to me}.
{The|Our} {test|release|deployment|migration} {failed|went well|is delayed} {because of|after|thanks to} {a bug in the parser|the new server|your fix}; {logs are attached|I'll try again tonight|tell the users}.
{Market|Prices|Rates|Shares} {moved|opened|closed} {up|down|flat} {today|on the news|before the holiday}, {so|and} {we keep our position|we should sell <number>|traders stay careful}.
{Please|Could you please|Would you mind to} {send|forward|give} me the {report|invoice|slides|contract|numbers|updated draft} {by|before} {Friday|noon|the end of the week|tomorrow}.
{I|We} {wanted|would like} to {ask|check|confirm} {whether|if} {you received the parcel|Thursday works for you|the budget was approved|the room is booked}.
{Attached|Enclosed} {is|you will find} the {signed form|agenda|price list|photo|summary} {for|of} {Monday|the project|last month}.
{Don't forget|Remember|Please remember} to {bring your badge|fill in your timesheet|water the plants|back up your files|lock the door|update your calendar}.
{Please|Kindly} {ignore|disregard} my {last|previous|earlier} {mail|message|e-mail}{, I attached the wrong file|; the date was wrong|, the issue is solved|}.
{Follow|Read|Use} the instructions in the {attachment|manual|handbook|link below} {to set up your account|before the call|to return the item}.
{The|Our} {meeting|call|workshop|delivery|audit} {has been|was|is} {moved|postponed|confirmed} {to|for} {Tuesday|next week|<number> June|the afternoon}.
{Your order|The shipment|The refund} {of|over} <number> {euros|dollars|pieces} {will arrive|was sent|is on its way} {tomorrow|within <number> days|on Monday}.
{Let me know|Tell me|Write me} {if|when|whether} {you need anything else|this works|you have questions|you can join|I should call them}.
{Do not|Please don't} {share|forward} this {offer|link|file|draft} {yet|with anyone outside the team|before the announcement}.
{Could|Can} you {translate|proofread|review|sign|print} {the attached letter|page <number>|the last paragraph|this} {for me|by Monday|before we send it}?
{Thanks|Thank you} {for|so much for} {your quick reply|the lovely evening|your patience|the documents|your help yesterday}.
{The system|The server|The old login} will be {down|in maintenance|switched off} {tonight|on Sunday|from <number> to <number>}; {save your work|use the backup|no action is needed}.
{My|Your|The new} password {expires in <number> days|was changed|reset is done}{. If this was not you, contact the help desk.|.|, please choose another one.}
{We|They} {hired|welcomed} {a new colleague|two interns|<person>} {in {sales|support|finance}|last week}; {say hello|please help them|she starts on Monday}.
{I'm|I will be} {out of office|on holiday|in a train} {until|from|on} {Monday|<number> May|tomorrow}{. In urgent cases call <person>.|.}
{Click|Go to|Open} <url> to {confirm your address|see the agenda|track the parcel|join the call|download the form}.
{Make sure|Please make sure} {that all {forms|rows|tests} are {complete|checked}|to {answer|call} the customer first|you include the order number}.
{Approve|Reject|Check} the {request|holiday|expense report} of <person> {in the portal|until Friday|when you have time}.
"""),
    "page_line": lines("""
{It|The lake|The old town|The church} {lies|stands} {north|south|in the middle} of {the city|a forest|the valley} and {was built|was first mentioned} in {the <number>th century|<number>}.
{Researchers|Scientists|Doctors|Engineers} {at|from} {the university|a laboratory in Zurich|three institutes} have {developed|tested|found} {a new method|a material|a vaccine|a cheaper battery} {that|which} {may|could} {help patients|save energy|replace older ones}.
{The|This} {function|class|module|command|option} {returns|takes|raises|sets} {a list of names|an error if the file is missing|the number of rows|the default value|true when done}.
{Passengers|Drivers|Residents|Students} {are asked|are advised|have} to {change at the central station|avoid the area|show their ticket|submit forms before noon}.
{After|During|Before} the {match|concert|war|vote|storm}, {thousands|many people|the players|nobody} {left the city|celebrated in the streets|asked questions|knew what to do}.
{Please|Kindly} {note|observe} that {opening hours may change|the price does not include breakfast|spare parts are sold separately|comments are moderated}.
{To|In order to} {install|configure|remove|update} the {driver|package|app|plugin}, {download|open|copy} the {archive|settings|file} and {follow the wizard|restart the computer|choose "Advanced"|enter your licence number}.
{Mix|Combine|Whisk|Knead} the {dry ingredients|dough|eggs and sugar}, {cover|chill|bake} {it|them} {for <number> minutes|overnight|at <number> degrees} and {serve warm|let it rest|do not open the oven}.
{Critics|Readers|Fans} {praised|disliked|ignored} the {film|novel|album} {for|because of} its {slow pace|dialogue|ending|music}, {though|but} {it sold well|it won two awards|the author defended it}.
{The|Our} {museum|library|shop|office|pool} {opens|closes} at <number> {and offers {guided tours|free coffee|parking}|on weekdays|from May to September}.
{First|Then|Finally|Next}, {mix|heat|cut|add|stir|peel} the {flour|onions|butter|apples|rice|beans} {for <number> minutes|until golden|with a little salt|and set aside}.
{In|Around|Since} <number>, {the town|the river|the company|the bridge|the team} {was founded|changed its name|won a prize|had <number> members}.
{The|This} {study|report|survey} {shows|found|suggests} that {sleep|rain|exercise|trade|noise} {affects|improves|reduces} {memory|harvests|prices|health} {by <number> percent|in most cases|}.
{Press|Hold|Release|Turn} the {red|left|power|small} {button|knob|switch} {for <number> seconds|to start|until the light blinks}.
{Run|Type|Enter} `{pip install|make|git pull|npm test|docker build .|ls -l}` {and wait|to update|in the project folder|before you start}.
{If|When} the {installation|upload|device|update} {fails|stops|does not start}, {restart it|check the cable|read the log|contact support}.
{Prices|Temperatures|Sales|Rents} {rose|fell} {slightly|by <number> percent|again} {in {March|spring|the north}|last quarter}{, experts said|}.
{He|She|The author|The mayor} {said|wrote|explained} that "{it was a good year|we must be patient|nobody expected this|the plan will change}".
{You|Users|Members|Guests} {must|should|can|may not} {register|book|pay|smoke|bring dogs} {in advance|at the desk|inside the building|online}.
{Ignore|Skip} this {step|section|warning} if {you use the older version|your device is new|the value is zero}.
The {system|model|method|assistant professor|prompt delivery} {consists of|depends on|was praised for} {three parts|good data|its speed}.
{Note|Warning|Important|Tip}: {keep away from children|do not open the case|save a copy first|the old settings are lost|wear gloves}.
"""),
    "review_line": lines("""
{I|We} {bought|ordered|got} this {for my {son|kitchen|office}|last month|as a gift} and {it works fine|love it|it broke|am disappointed|use it every day}.
{The|Its} {battery|sound|screen|zip|taste|service|staff|room} {is|was} {great|poor|average|better than expected|terrible|friendly|clean}.
{Would|I would} {buy again|not recommend it|recommend it to anyone|give zero stars if I could|pay more for that}.
{Delivery|Shipping} took <number> {days|weeks}{, but the box was damaged|, very fast|. Customer service never answered}.
{Do not|Don't} {buy|waste your money on} this {thing|product|brand}{!|, get the older model instead.|, read the other reviews first.}
{Follow|Read} the {instructions|manual} carefully, {then it is easy|they are confusing|otherwise it leaks}.
{It|This} {does|did} {what it says|not fit|the job|everything I need} {for the price|and more|after a while|}.
"""),
    "cv_line": lines("""
{Worked|Served} {as|for} {<number> years as |}{a {nurse|teacher|developer|cook|manager}|head of {sales|a team of <number>}} at <company>.
{Studied|Degree in} {physics|law|business|design|computer science} {in|at} {Berlin|Leeds|the university of Porto}.
{Skilled|Experienced} in {Excel|Python|customer care|negotiation|welding|accounting|project management}.
"""),
    "any_line": lines("""
<mail_line>
<page_line>
<review_line>
<cv_line>
"""),
}
