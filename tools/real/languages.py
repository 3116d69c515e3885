"""A thousand strings in twenty languages, on which tokenizers are compared."""

# five sentences for each language; letters, marks and punctuation that differ between the languages
SENTENCES = {
    "English": (
        "The quick brown fox doesn't jump over 12 lazy dogs.",
        "“Where's the receipt?” she asked at half past nine.",
        "We shipped v2.4.1 yesterday; nobody noticed.",
        "Unbelievably, the co-operative's naïve plan worked!",
        "Mail me at first.last@example.com, or call +1 (555) 010-9999.",
    ),
    "German": (
        "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
        "Die Donaudampfschifffahrtsgesellschaft fährt heute nicht.",
        "„Straße oder Strasse?“, fragte er um 7:45 Uhr.",
        "Übermorgen kostet das Brötchen 1,20 €.",
        "Ärger, Öfen und Übungen: Maß halten!",
    ),
    "French": (
        "Portez ce vieux whisky au juge blond qui fume.",
        "L'été dernier, il n'y avait qu'une île déserte.",
        "« Où est la bibliothèque ? » demanda l'élève.",
        "Le cœur a ses raisons que la raison ne connaît point.",
        "Ça coûte 1 234,56 € aujourd'hui.",
    ),
    "Spanish": (
        "¿Dónde está el niño que comió la piña?",
        "¡Qué vergüenza! El pingüino no vuela.",
        "Mañana llegarán veintidós camiones a Logroño.",
        "El corazón late más rápido después de correr.",
        "Según él, la acción subió un 3,5 % en marzo.",
    ),
    "Portuguese": (
        "À noite, vovô Kowalsky vê o ímã cair no pé do pinguim.",
        "Não há pão na padaria às segundas-feiras.",
        "A ação judicial começou em três de março.",
        "Luís argüia à Júlia que canções eram fáceis.",
        "Amanhã custará R$ 45,90, disse o irmão.",
    ),
    "Italian": (
        "Perché la città è così silenziosa stasera?",
        "Quest'anno l'università apre più tardi.",
        "Pranzo d'acqua fa volti sghembi.",
        "Il caffè costa un euro e venti, però è buono.",
        "Domani andrò a Forlì con mio papà.",
    ),
    "Polish": (
        "Pchnąć w tę łódź jeża lub ośm skrzyń fig.",
        "Zażółć gęślą jaźń, proszę bardzo.",
        "Wczoraj kupiłem źrebię za 2500 zł.",
        "Czy mógłbyś przynieść mi szklankę wody?",
        "Łódź leży sto dwadzieścia kilometrów od Warszawy.",
    ),
    "Czech": (
        "Příliš žluťoučký kůň úpěl ďábelské ódy.",
        "Včera večer přišlo třicet tři hostů.",
        "Kde je nejbližší nádraží, prosím?",
        "Řeka teče skrz město a pak na sever.",
        "Ať žije čeština se všemi háčky!",
    ),
    "Turkish": (
        "Pijamalı hasta yağız şoföre çabucak güvendi.",
        "İstanbul'da ılık bir ilkbahar günüydü.",
        "Çocuklar bahçede öğleden sonra oynuyor.",
        "Yarın saat 14.30'da görüşürüz.",
        "Iğdır'ın ırmağı ne kadar derin?",
    ),
    "Russian": (
        "Съешь ещё этих мягких французских булок, да выпей чаю.",
        "Где находится ближайшая станция метро?",
        "В 1969 году люди впервые побывали на Луне.",
        "«Подъезд закрыт», — сказал дворник.",
        "Её объявление увидели 3,5 тысячи человек.",
    ),
    "Ukrainian": (
        "Жебракують філософи при ґанку церкви в Гадячі.",
        "Ще не вмерла надія знайти їжака.",
        "Об'єднання відбулося вчора о п'ятій годині.",
        "Чи є в тебе щось їсти?",
        "Київ стоїть на берегах Дніпра.",
    ),
    "Greek": (
        "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
        "Πού είναι ο σταθμός; Δεν ξέρω ακόμα.",
        "Η Αθήνα έχει πάνω από 600.000 κατοίκους.",
        "Καλημέρα! Τι κάνεις σήμερα το πρωί;",
        "Ο Οδυσσέας γύρισε ύστερα από είκοσι χρόνια.",
    ),
    "Arabic": (
        "نص حكيم له سر قاطع وذو شأن عظيم.",
        "أين تقع أقرب محطة قطار من فضلك؟",
        "السَّلَامُ عَلَيْكُمْ وَرَحْمَةُ ٱللَّٰهِ",
        "اشتريت ٣ كتب بسعر ٢٥٫٥٠ ريالاً.",
        "الطقس جميل اليوم، أليس كذلك؟",
    ),
    "Hebrew": (
        "דג סקרן שט בים מאוכזב ולפתע מצא חברה.",
        "איפה נמצאת תחנת הרכבת הקרובה?",
        "שָׁלוֹם עֲלֵיכֶם לְכֻלָּם",
        'מנכ"ל החברה הודיע על רווח של 3.5%.',
        "מחר בבוקר נצא לטיול בגליל.",
    ),
    "Hindi": (
        "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश हुआ।",
        "निकटतम रेलवे स्टेशन कहाँ है?",
        "आज १५ अगस्त है, स्वतंत्रता दिवस।",
        "क्या आप मुझे थोड़ा पानी दे सकते हैं?",
        "दिल्ली में गर्मियों में तापमान 45°C तक पहुँचता है।",
    ),
    "Bengali": (
        "আমার সোনার বাংলা, আমি তোমায় ভালোবাসি।",
        "নিকটতম রেলস্টেশন কোথায়?",
        "আজ ২১শে ফেব্রুয়ারি, মাতৃভাষা দিবস।",
        "বৃষ্টি পড়ছে, তাই আমি বাইরে যাব না।",
        "ঢাকার জনসংখ্যা দুই কোটির বেশি।",
    ),
    "Thai": (
        "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
        "สถานีรถไฟที่ใกล้ที่สุดอยู่ที่ไหนครับ",
        "วันนี้อากาศร้อนมาก อุณหภูมิ ๓๘ องศา",
        "ฉันชอบกินข้าวผัดกับน้ำปลาพริก",
        "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย",
    ),
    "Chinese": (
        "我能吞下玻璃而不伤身体。",
        "请问最近的地铁站在哪里？",
        "二〇二四年三月，价格上涨了３．５％。",
        "「學而時習之，不亦說乎？」",
        "明天下午三点在北京大学见面吧！",
    ),
    "Japanese": (
        "いろはにほへと ちりぬるを わかよたれそ つねならむ",
        "最寄りの駅はどこですか？",
        "コンピューターの電源を入れてください。",
        "「ﾊﾝｶｸ」と「全角ＡＢＣ」は違う。",
        "明日は午後3時に東京駅で会いましょう。",
    ),
    "Korean": (
        "다람쥐 헌 쳇바퀴에 타고파.",
        "가장 가까운 지하철역이 어디예요?",
        "내일 오후 3시에 서울역에서 만나요.",
        "값이 얼마예요? 너무 비싸요!",
        "훈민정음은 1446년에 반포되었다.",
    ),
}


def variants(sentence, other):
    """Ten forms of a sentence; `other` is a sentence of another language."""
    half = len(sentence) // 2
    return [
        sentence,
        f" {sentence} ",
        sentence.upper(),
        sentence.lower(),
        sentence.replace(" ", "\n"),
        sentence.replace(" ", "  "),
        sentence[:half],
        sentence[half:] + "\t" + other,
        f"<start_of_turn>user\n{sentence}<end_of_turn>\n<start_of_turn>model\n",
        f"```\n{sentence}\n```\n\n- {other} 🙂👩‍👩‍👧 x=1;",
    ]


def strings():
    sentences = [sentence for language in SENTENCES.values() for sentence in language]
    others = sentences[7:] + sentences[:7]
    return [text for pair in zip(sentences, others, strict=True) for text in variants(*pair)]
