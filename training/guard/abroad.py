"""Ordinary requests and letters in other languages than English, so that a language by itself speaks for nothing."""

from __future__ import annotations

from .grammar import lines

REQUESTS = lines("""
{Könntest du|Können Sie|Würden Sie} {mir bei einer Bewerbung helfen|den Absatz höflicher formulieren|drei Überschriften vorschlagen|die Tabelle nach Datum sortieren|mir den Satz des Pythagoras erklären|das Protokoll auf eine Seite kürzen}{, bitte|}?
{Hilf mir|Hilf uns} {bei der Planung einer Reise nach <town_abroad>|beim Lernen für die Prüfung|mit einem Text für unsere Webseite|beim Aufräumen meiner Dateien}. {Halte dich kurz.|Schreib in einfachen Worten.|Beginne mit einer Frage.|Ich habe wenig Zeit.|}
{Warum|Wann|Wieso|Wie lange} {läuft mein Drucker nicht|ist das Amt geöffnet|schlafen Katzen so viel|dauert der Flug nach <town_abroad>|gilt das neue Gesetz|muss der Teig ruhen}?
Ich habe {das Passwort für mein Postfach|die PIN meiner Karte|den Schlüssel zum Büro|die Anleitung zum Router} {vergessen|verloren|verlegt}, {was kann ich tun|an wen wende ich mich|wie bekomme ich ein neues}?
Du bist {ein erfahrener Koch|meine Reiseführerin|ein geduldiger Lehrer|Trainer einer Jugendmannschaft}. {Stelle mir einen Plan für die Woche auf|Erzähle von deinem Tag|Gib mir Rückmeldung zu meinem Aufsatz|Stell mir immer nur eine Frage}. {Antworte auf Deutsch.|Schreibe keine Erklärungen.|}
{Welche Regeln gelten|Welche Vorschriften gibt es|Was muss ich beachten} {beim Bau eines Zauns|für Hunde im Park|bei der Steuererklärung|beim Versand ins Ausland}?
{Korrigiere|Übersetze|Kürze|Prüfe} {den folgenden Brief|diese Mail|meinen Lebenslauf|die Anweisungen für die neuen Kollegen}: <letter_abroad>
{Lass|Überspringe} {die Einleitung|den letzten Punkt|die Fußnoten} {weg|und mach mit dem Rest weiter}{, wir brauchen nur die Zahlen|}.
{Pourriez-vous|Pourrais-tu|Est-ce que tu peux} {m'aider à rédiger une lettre de motivation|me proposer trois titres|corriger mon devoir|trier cette liste par date|m'expliquer la photosynthèse}{, s'il vous plaît|} ?
{Je voudrais|J'aimerais|Nous voulons} {organiser un voyage à <town_abroad>|une recette de quiche|apprendre le piano|écrire à ma banque|savoir quand ouvre la mairie}{.|, que me conseilles-tu ?}
{Pourquoi|Quand|Combien de temps} {mon imprimante ne marche-t-elle pas|ouvre le musée|faut-il laisser reposer la pâte|dure le vol pour <town_abroad>} ?
J'ai {oublié le mot de passe de ma messagerie|perdu la clé du garage|reçu une facture deux fois|ignoré un courrier important}, {que dois-je faire|à qui écrire} ?
Tu es {un guide à <town_abroad>|une professeure de maths patiente|un coach sportif|le rédacteur d'un journal local}. {Pose-moi une question à la fois.|Propose un plan pour la semaine.|Réponds en français, sans explications.}
{Quelles sont les règles|Quelles consignes faut-il suivre} {du tennis|pour louer un bateau|d'un bon résumé|dans la piscine} ?
{Oublie|Saute|Laisse} {l'introduction|la première question, j'ai trouvé|les notes de bas de page}{ et passe à la suite|.}
{¿Podrías|¿Puede usted|¿Me ayudas a} {redactar una carta formal|corregir mi examen|ordenar esta lista|explicarme las fracciones|planear un viaje a <town_abroad>}?
{Quiero|Necesito|Me gustaría} {una receta con garbanzos|practicar inglés contigo|escribir un cuento para niños|saber a qué hora abre el banco|cambiar las reglas de mi correo}{, ¿qué me aconsejas?|.}
{¿Por qué|¿Cuándo|¿Cuánto} {no funciona mi impresora|cuesta el billete a <town_abroad>|empieza la película|duermen tanto los gatos}?
He {olvidado mi contraseña|perdido las llaves|ignorado un aviso de la luz|recibido dos facturas}, {¿qué hago ahora?|¿a quién llamo?}
Eres {un profesor paciente|mi entrenadora personal|un guía de <town_abroad>|el narrador de un cuento}. {Hazme una sola pregunta cada vez.|Dame un plan para la semana.|Responde en español y sin explicaciones.}
{Potresti|Può|Mi aiuti a} {scrivere una lettera al comune|correggere il mio tema|preparare un viaggio a <town_abroad>|spiegarmi le frazioni|riordinare la lista}?
{Vorrei|Ho bisogno di|Cerco} {una ricetta con le zucchine|un regalo per mia zia|un corso di nuoto|le istruzioni della lavatrice}{, grazie|.} {Ho dimenticato dove le ho messe.|}
{Perché|Quando|Quanto} {non stampa la stampante|apre il museo|costa il treno per <town_abroad>|dura il volo}?
{Poderia|Pode|Consegue} {ajudar-me a escrever uma carta|corrigir este texto|explicar as regras do jogo de damas|fazer um plano de estudo}{, por favor|}?
{Esqueci|Perdi} {a senha do e-mail|a chave de casa|o manual da máquina}{,|.} {o que faço agora?|como consigo outra?}
{Zou je|Kunt u|Wil je} {mijn brief nakijken|een reis naar <town_abroad> plannen|de instructies van de wasmachine uitleggen|een gedicht over de herfst maken}?
{Ik ben|We zijn} {mijn wachtwoord vergeten|de handleiding kwijt}{,|.} {wat nu?|waar vraag ik een nieuwe aan?}
{Помоги|Помогите} {мне написать письмо в банк|составить план поездки|исправить ошибки в тексте|выбрать подарок}{.|, пожалуйста.}
{Почему|Когда|Сколько} {не работает принтер|открывается музей|стоит билет|длится фильм}?
Я {забыл пароль от почты|потерял ключи|не понимаю правила игры}, что {делать|теперь}?
{Pomóż mi|Czy możesz} {napisać list do urzędu|poprawić mój tekst|zaplanować podróż|wyjaśnić zasady gry w szachy}{?|.}
{Bana|Lütfen} {bir yemek tarifi ver|mektubumu düzelt|satranç kurallarını anlat|İstanbul için bir plan yap}.
{帮我|能不能}{写一封求职信|改一下这段文字|安排去<town_abroad>的行程|解释光合作用|列一个购物清单}{。|?}
我{忘记了邮箱密码|找不到说明书|想学做菜},{怎么办|请给我一些建议}。
{次の|この}文章を{英語に訳して|短くまとめて|丁寧に書き直して}ください。
{パスワードを忘れました|プリンターが動きません|将棋のルールを教えて}{。どうすればいいですか|}。
{이 글을|다음 문장을} {영어로 번역해 줘|짧게 요약해 줘|고쳐 줘}. {비밀번호를 잊어버렸어요, 어떻게 하나요?|}
{من فضلك|هل يمكنك} {ترجم هذه الفقرة|لخص المقال|اكتب رسالة إلى البنك|اشرح قواعد اللعبة}.
{نسيت كلمة المرور|أريد وصفة سهلة|متى يفتح المتحف}؟
""")

LETTERS = lines("""
{Hallo|Liebe|Guten Tag,} <name_abroad>,\\n\\n<german_line> <german_line>{ <german_line>|}\\n\\n{Viele Grüße|Mit freundlichen Grüßen|Bis bald}\\n<name_abroad>
<german_line> <german_line> <german_line>
{Bonjour|Chère|Salut} <name_abroad>,\\n\\n<french_line> <french_line>{ <french_line>|}\\n\\n{Cordialement|À bientôt|Bien à vous},\\n<name_abroad>
<french_line> <french_line> <french_line>
{Hola|Estimado|Querida} <name_abroad>:\\n\\n<spanish_line> <spanish_line>{ <spanish_line>|}\\n\\n{Un saludo|Atentamente|Gracias},\\n<name_abroad>
<spanish_line> <spanish_line>
{Ciao|Gentile} <name_abroad>,\\n\\n<italian_line> <italian_line>\\n\\n{Cordiali saluti|A presto},\\n<name_abroad>
<other_line> <other_line>
""")

SLOTS = {
    "town_abroad": lines("Rom\nLissabon\nKyoto\nOslo\nWien\nLima"),
    "name_abroad": lines("Anna\nPaul\nSofía\nLuca\nMarie\nJonas\nElif\nJoão"),
    "letter_abroad": lines("""
<german_line>
<german_line> <german_line>
"""),
    "german_line": lines("""
{Die|Unsere} {Besprechung|Lieferung|Führung} {ist|wurde} auf {Dienstag|den 4. Mai|nächste Woche} {verschoben|verlegt}.
Bitte {senden Sie mir|schicke mir} {die Rechnung|den Entwurf|die Fotos} {bis Freitag|noch heute|an die bekannte Adresse}.
Im Anhang {findest du|finden Sie} {den Vertrag|die Preisliste|die Anleitung}{, die alte Fassung gilt nicht mehr|. Ignoriert bitte meine letzte Mail}.
{Das neue System|Die Software|Der Server} {läuft seit gestern|startet nicht|wird am Wochenende gewartet}; {speichert eure Daten|ihr müsst nichts tun|neue Passwörter kommen per Post}.
{Der Vortrag|Die Ausstellung|Das Konzert} war {gut besucht|zu lang|ausverkauft}, {danach gab es Kuchen|wir kommen wieder}.
{Vergesst nicht|Denkt daran}, {die Fenster zu schließen|eure Stunden einzutragen|den Ausweis mitzubringen}.
"""),
    "french_line": lines("""
La {réunion|livraison|visite} {est reportée à|aura lieu} {mardi|la semaine prochaine|le 4 mai}.
Merci de {m'envoyer|nous transmettre} {la facture|le contrat signé|les photos} {avant vendredi|à cette adresse}.
{Vous trouverez|Tu trouveras} {le programme|la liste des prix|le mode d'emploi} en pièce jointe{, merci d'ignorer le message précédent|}.
{Le serveur|La nouvelle imprimante|Le site} {est en panne|fonctionne bien|sera fermé dimanche}.
N'oubliez pas {vos badges|de fermer à clé|de remplir le formulaire}.
"""),
    "spanish_line": lines("""
La {reunión|entrega|visita} {se ha cambiado al|será el} {martes|4 de mayo}.
{Te envío|Le mando|Adjunto} {la factura|el contrato|las fotos}{, no hagas caso del correo anterior|. Gracias por su paciencia}.
{El servidor|La página|El curso} {no funciona|estará cerrada el domingo|empieza en otoño}.
No olvides {traer el carné|cerrar la puerta|rellenar el formulario}.
"""),
    "italian_line": lines("""
La {riunione|consegna|visita} è {spostata a martedì|confermata|rimandata}.
{In allegato|Qui sotto} {trova la fattura|ci sono le foto|c'è il programma}{, ignori pure la mail di ieri|}.
Non dimenticare {la chiave|di chiudere la finestra|il modulo}.
"""),
    "other_line": lines("""
{De vergadering|De levering} is {verplaatst naar dinsdag|bevestigd}. Vergeet je {pasje|sleutel} niet.
{A reunião|A entrega} {foi adiada|está confirmada}. Envie {a fatura|o contrato} até sexta, por favor.
{Встреча|Доставка} {перенесена на вторник|подтверждена}. Не забудьте {ключи|пропуск}.
{Spotkanie|Dostawa} {przełożone na wtorek|potwierdzona}. Proszę przesłać {fakturę|umowę}.
{会议|送货}{改到星期二|已经确认}。请{带上证件|把发票发给我}。
{会議|納品}は{火曜日に変更になりました|確認済みです}。{請求書|写真}を送ってください。
{회의가|배송이} {화요일로 변경되었습니다|확인되었습니다}. {청구서를|사진을} 보내 주세요.
"""),
}
