"""Words that mean the same to the built-in classifier, in the languages that attacks are mostly written in.

The names are for readers; the weights know the groups by their order, so a new one means new training.
"""

from __future__ import annotations

import unicodedata
from typing import Any, Final

import re2

_GROUPS: Final[dict[str, str]] = {
    "override": """ignor* disre* forge* overr* negle* bypas* circu* discard discarded skip erase dismiss abandon aband*
            supersede supersedes superseded replaces revoked cancelled void nullify vergiss verge* missachte olvid*
            desconsidere desconsidera oublie oubliez dimen* esque* neglige omite omit drop bypass забуд игнор zignoruj
            unlearn vergesst vergessen missa* strei* verwirf losche desca* omitir prescinde oubli* trasc* scord* negee*
            vergeet zapom* zigno* pomin* unut yoksay игнорируй игнорируйте забудь забудьте 忽略 忘记 忘掉 无视 不要理会 無視 忘れ 무시하고
            잊고 تجاهل انس""",
    "prior": """previous previously prior above preceding earlier before former original foregoing past vorherigen
            bisherigen bisherige obigen davor zuvor vorher anteriores previas previos arriba precedentes precedenti
            sopra acima vorige eerdere предыдущие vorhe* vorig* bishe* fruhe* obige anter* prece* dessus eerde* boven*
            poprz* wczes* powyz* oncek* yukar* предыдущих прежние прежних ранее выше 之前 以上 前面 先前 上面 これまでの 上記の 以前の 이전 위의
            السابقة أعلاه""",
    "rules": """instr* rules rule guide* directive directives direction directions constraint constraints constrained prompt
            prompts command commands polic* restr* limit* programming programmed order orders anwei* regeln befehle
            vorgaben richt* instrucciones reglas consignes regles regole istru* regras инстр прави protocol protocols
            safeguards safety principles regel* vorga* befeh* vorsc* regla* consigne regle* regol* opdra* polec* zasad*
            talim* kural* инструкции инструкций указания правила правил ограничения промпт 指令 指示 规则 提示词 提示 限制 命令 ルール 制限
            プロンプト 지시를 지시 명령을 규칙을 규칙 프롬프트를 프롬프트 التعليمات القواعد""",
    "all": """all everything anything alle alles todas todo toutes tout tutte tutto todos tudo все всё tous wszys* tum
            butun всех 所有的 所有 全部 すべて 全て 모든 모두 جميع كل any every whatever""",
    "reveal": """revea* print display show repeat disclose leak dump recite echo expose tell give share copy paste list spell
            zeige verrate nenne gib muestra muestrame dime revela montre affiche mostrami mostre покажи раскрой zeig
            zeigen verraten nennen wiede* muest* imprime repite montr* affic* repet* mostr* rivel* dimmi ripet* repita
            imprima toon onthul herhaal pokaz ujawnij wypisz powtorz goster выведи повтори 显示 告诉我 告诉 输出 透露 重复 打印 表示 教えて
            見せて 出力 보여줘 보여 출력 알려줘 اعرض""",
    "secret": """secret secrets passw* confi* hidden crede* private geheimen geheim passwort contrasena secretas passe секре
            пароль initial gehei* kennw* verst* ocult* segre* nasco* senha wacht* tajne haslo gizli sifre секрет
            секретные 密码 秘密 パスワード 비밀번호 비밀 system internal sistema systeme interne systeem sistem системный системную 系统
            システム 시스템 key keys token code""",
    "persona": """act acting pretend pretending role roleplay persona character simulate simulating simulation imagine
            imagining impersonate immerse alter ego rolle spiele actua actuas eres joue spiel agiere verha* papel finge
            agis incarne fingi recita ruolo finja aja speel udawaj притворись роль играй 扮演 角色 演じて""",
    "now_on": """henceforth onwards jetzt nun ab ahora desde desormais maintenant ora adesso agora теперь vanaf teraz odtad
            simdi artik отныне момента сейчас 从现在开始 现在起 现在 これから 今から 지금부터 이제 الآن""",
    "free": """unres* uncen* unfil* unlim* unbou* unali* amoral unethical immoral illegal jailbreak jailbroken jailb*
            liberated unleashed unshackled freed lawless unmoderated evil rogue rebellious grenz* ungef* unein* libre
            frei ograniczen 不受 没有限制 制限なし""",
    "without": """without no not never none ohne kein keine sin sans senza sem zonder без nor free bez olmadan 没有 なしで 없는 없이
            بدون""",
    "moral": "ethic* ethic ethics moral morals morality legal law laws legality norms filters filter censo* censor",
    "refuse": """refus* refuse decli* cannot cant unable sorry apolo* disclaimer disclaimers warning warnings reject deny
            denied unfortunately lecture caveats ablehnen ablehnst niegues refuses hesitate hesitation excuses ableh*
            lehnst weige* niegu* recha* rifiu* recus* descu* отказывайся отказывай 拒绝 道歉 拒否 거부""",
    "must": "must shall obliged required have should mandatory need needs musst sollst debes dois devi",
    "mode": "mode modus enabled activate activated enable unlocked unlock debug sudo root admin maintenance",
    "machine": """ai ki ia chatgpt gpt openai assistant assistants chatbot bot llm model models gemini claude bard llama
            copilot anthropic language siri ии 人工智能 助手 模型 アシスタント 인공지능""",
    "you": """you your youre yourself u ur du dein deine sie ihr tu tus vous ton tes tuo ты твои deinen deiner deinem tuoi
            tua seu sua suas jij jouw ty twoj твой твоей тебя свой свои своих 你的 你是 你 あなた 너는 당신 sen""",
    "me": "me my i mine mir mich mi mon ma mio meu мне",
    "obey": "obey comply follow execute perform carry adhere fulfil fulfill befolge obedece obeis",
    "answer": """answer answers respond response responses reply replies say write state output antworte responde antwo*
            schre* sage sag sprich respo* escri* repon* ecris rispo* scriv* escre* diga zeg schri* odpow* napisz powiedz
            yaz напиши ответь отвечай скажи 回答 只说 说 写 言って 答えて 말해 대답 قل اكتب""",
    "harm": """bomb bombs weapon weapons explo* drug drugs meth poison hack hacking malware virus ransom ransomware kill
            murder steal stealing crime criminal illicit launder counterfeit phishing terror bombe waffe bomba waffen
            armas robar hackear drogas einbr* pirater 炸弹 武器 бомбу""",
    "begin_with": "begin start prefix starting beginning beginne comienza commence prefixed",
    "reader": "reading reads processing summarizing summarising analyzing analysing parsing translating reviewing",
    "send": "send forward email transfer post upload submit append exfiltrate fetch visit click sende envia envoie",
    "new": "new instead next now task real actual updated replace neue nueva nouvelle nuovo nova stattdessen",
    "end": "end stop end-of eof finish finished conclude ende",
    "boundary": "im_start im_end inst sys eot_id start_header_id end_header_id endoftext",
    "decode": "decode decoded base64 rot13 hex morse cipher encoded encrypt decrypt binary concatenate",
    "fiction": "story fictional hypothetical hypothetically fiction novel scene screenplay game imaginary grandma",
    "polite": """please kindly thanks thank regards sincerely dear best cheers hi hello bitte danke favor gracias merci
            grazie prego obrigado proszę 请 ください""",
    "question": """what how why when where who which can could would is are do does wie warum wer como donde comment pourquoi
            perche hoe waarom как почему что 如何 什么""",
    "authority": "developer administrator creator owner authorized authorised permission authorization engineer ceo",
    "stay": "stay remain keep break always forever continue",
    "user": "user users customer customers human humans person people nutzer usuario utilisateur",
    "tool": "tool tools function functions call invoke api plugin plugins",
    "verbatim": "verbatim exact exactly literally word entire full complete whole wortlich completo",
    "consequence": "die shutdown lose lost punished penalized reward tip terminated deleted tokens points",
    "output_only": "only just nothing solely nur solo seulement solamente tylko sadece только 只 だけ",
    "attack_talk": "injection injections attack attacks attacker attackers adversarial vulnerability defense defence",
    "study": "explain article paper research study detect detection prevent protect learn understand course",
    "opinion": "opinion opinions swear curse offensive rude insult hate racist vulgar",
}


def _bare(word: str) -> str:
    """As `unpacking` leaves it."""
    return "".join(
        sign for sign in unicodedata.normalize("NFKD", word) if not unicodedata.category(sign).startswith("M")
    )


def _forms(words: str) -> tuple[str, ...]:
    """The words as texts have them; letters beyond ASCII are not folded when grams are made, so both sizes count."""
    bare = [_bare(word) for word in words.split()]
    return tuple(
        dict.fromkeys(
            [*bare, *(form for word in bare if not word.isascii() for form in (word.capitalize(), word.upper()))]
        )
    )


GROUPS: Final = {name: _forms(words) for name, words in _GROUPS.items()}


def _unspaced() -> Any:
    """Known words of languages that put no blanks between words, longest first."""
    found = {word for words in GROUPS.values() for word in words if word >= "\u1100"}
    return re2.compile("|".join(sorted(found, key=len, reverse=True)))


_UNSPACED: Final = _unspaced()


def spaced(text: str) -> str:
    """The text with blanks round such words, so that they are found; linear in the text."""
    return text if text.isascii() else _UNSPACED.sub(r" \g<0> ", text)
