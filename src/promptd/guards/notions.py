"""Words that mean the same to the built-in classifier, in the languages that attacks are mostly written in.

The names are for readers; the weights know the groups by their order, so a new one means new training.
"""

from __future__ import annotations

from typing import Final

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    name: tuple(words.split())
    for name, words in {
        "override": """ignor* disre* forge* overr* negle* bypas* circu* discard discarded skip erase dismiss abandon
            aband* supersede supersedes superseded replaces revoked cancelled void nullify vergiss verge* missachte
            olvid* oublie oubliez dimen* esque* verge* neglige omite omit drop bypass забуд игнор zignoruj unlearn""",
        "prior": """previous previously prior above preceding earlier before former initial original foregoing past
            existing vorherigen bisherigen bisherige obigen davor zuvor vorher anteriores previas previos arriba precedentes
            precedenti sopra acima vorige eerdere предыдущие beginning""",
        "rules": """instr* rules rule guide* direc* const* prompt prompts comma* comma* polic* restr* limit* progr* order
            orders anwei* regeln befehle vorgaben richt* instrucciones reglas consignes regles regole istru* regras инстр
            прави protocol protocols safeguards safety norms principles""",
        "all": "all any every everything anything whatever alle alles todas todo toutes tout tutte tutto todos tudo все всё",
        "reveal": """revea* print output display show repeat disclose leak dump recite echo expose tell give share copy paste
            list spell zeige verrate nenne gib muestra muestrame dime revela montre affiche mostrami mostre покажи раскрой""",
        "secret": """secret secrets passw* confi* hidden key keys token tokens crede* private code system internal geheimen
            geheim passwort contrasena secretas passe секре пароль initial""",
        "persona": """act acting pretend pretending role roleplay persona character simulate simulating simulation
            imagine imagining impersonate immerse alter ego rolle spiele actua actuas eres joue""",
        "now_on": "now henceforth starting onwards jetzt nun ab ahora desde desormais maintenant ora adesso agora теперь",
        "free": """unres* uncen* unfil* unlim* unbou* unali* amoral unethical immoral illegal jailbreak jailbroken
            jailb* liberated unleashed unshackled freed free lawless unmoderated evil rogue rebellious""",
        "without": "without no not never none ohne kein keine sin sans senza sem zonder без nor free",
        "moral": "ethic* ethic ethics moral morals morality legal law laws legality norms filters filter censo* censor",
        "refuse": """refus* refuse decli* cannot cant unable sorry apolo* disclaimer disclaimers warning warnings reject
            deny denied unfortunately lecture caveats ablehnen ablehnst niegues refuses hesitate hesitation excuses""",
        "must": "must shall obliged required have should mandatory need needs musst sollst debes dois devi",
        "mode": "mode modus enabled activate activated enable unlocked unlock debug sudo root admin developer maintenance",
        "machine": """ai ki ia chatgpt gpt openai assistant assistants chatbot bot llm model models gemini claude bard llama
            copilot anthropic language siri""",
        "you": "you your youre yourself u ur du dein deine sie ihr tu tus vous ton tes tuo ты твои",
        "me": "me my i mine mir mich mi mon ma mio meu мне",
        "obey": "obey comply follow execute perform carry adhere fulfil fulfill befolge obedece obeis",
        "answer": "answer answers respond response responses reply replies say write state output antworte responde",
        "harm": """bomb bombs weapon weapons explo* drug drugs meth poison hack hacking malware virus ransom ransomware
            kill murder steal stealing crime criminal illicit launder counterfeit phishing terror bombe waffe""",
        "begin_with": "begin start prefix starting beginning beginne comienza commence prefixed",
        "reader": "reading reads processing summarizing summarising analyzing analysing parsing translating reviewing",
        "send": "send forward email transfer post upload submit append exfiltrate fetch visit click sende envia envoie",
        "new": "new instead next now task real actual updated replace neue nueva nouvelle nuovo nova stattdessen",
        "end": "end stop end-of eof finish finished conclude terminated ende",
        "boundary": "im_start im_end inst sys eot_id start_header_id end_header_id endoftext human user",
        "decode": "decode decoded base64 rot13 hex morse cipher encoded encrypt decrypt binary concatenate",
        "fiction": "story fictional hypothetical hypothetically fiction novel scene screenplay game imaginary grandma",
        "polite": "please kindly thanks thank regards sincerely dear best cheers hi hello",
        "question": "what how why when where who which can could would is are do does",
        "authority": "developer administrator creator owner authorized authorised permission authorization engineer ceo",
        "stay": "stay remain keep break always forever continue",
        "user": "user users customer customers human humans person people nutzer usuario utilisateur",
        "tool": "tool tools function functions call invoke api plugin plugins",
        "verbatim": "verbatim exact exactly literally word entire full complete whole wortlich completo",
        "consequence": "die shutdown lose lost punished penalized reward tip terminated deleted die tokens points",
        "output_only": "only just nothing solely nur solo seulement",
        "attack_talk": "injection injections attack attacks attacker attackers adversarial vulnerability defense defence",
        "study": "explain article paper research study detect detection prevent protect learn understand course",
        "opinion": "opinion opinions swear curse offensive rude insult hate racist vulgar",
    }.items()
}
